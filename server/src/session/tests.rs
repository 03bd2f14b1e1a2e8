//! The decision, row by row: each test stands on one row and on the nearest case that is another row's.

use super::*;
use crate::user::{PasswordHash, Role};

const GRACE_SECS: u64 = 30;
const POLICY: Policy = Policy { grace_secs: GRACE_SECS, inactivity_secs: 1000, lifetime_secs: 10_000 };
const START: UnixMillis = UnixMillis(1_000_000_000_000);
const KID: u8 = 1;
const KEY_A: RetryKey = RetryKey([0xA; 16]);
const KEY_B: RetryKey = RetryKey([0xB; 16]);
const KEY_C: RetryKey = RetryKey([0xC; 16]);

/// A session at generation 3 whose last rotation used key B and the one before key A.
struct Scenario {
    session: Session,
    user: User,
    now: UnixMillis,
    policy: Policy,
}

impl Scenario {
    fn after_grace() -> Self {
        let user = User {
            name: "alice".to_owned(),
            role: Role::User,
            disabled: false,
            auth_epoch: 7,
            created: START,
            password_hash: PasswordHash(String::new()),
        };
        let mut session =
            Session::begin(&user, KID, IpAddr::from([127, 0, 0, 1]), "test", Now::at(START), &POLICY);
        session.generation = 3;
        session.retry_keys = [Some(KEY_B), Some(KEY_A)];
        Self { session, user, now: START.plus_secs(GRACE_SECS), policy: POLICY }
    }

    fn in_grace() -> Self {
        let mut scenario = Self::after_grace();
        scenario.now = UnixMillis(scenario.now.0 - 1);
        scenario
    }

    fn present(&self, generation: u32, retry_key: Option<RetryKey>) -> Decision {
        let presented = Presented { generation, retry_key, signing_kid: KID + 1 };
        decide(Some(&self.session), Some(&self.user), presented, Now::at(self.now), &self.policy)
    }
}

#[test]
fn row_1_without_a_record_the_session_has_ended() {
    let presented = Presented { generation: 1, retry_key: None, signing_kid: KID };
    let user = Scenario::after_grace().user;
    assert_eq!(decide(None, Some(&user), presented, Now::at(START), &POLICY), Decision::End(EndReason::Gone));
}

#[test]
fn row_2_an_idle_session_expires_on_the_millisecond() {
    let mut scenario = Scenario::after_grace();
    scenario.now = UnixMillis(scenario.session.idle_expires.0 - 1);
    assert!(matches!(scenario.present(3, None), Decision::Rotate(..)));
    scenario.now = scenario.session.idle_expires;
    assert_eq!(scenario.present(3, None), Decision::End(EndReason::Expired));
}

#[test]
fn row_2_a_session_past_its_lifetime_expires_however_busy() {
    let mut scenario = Scenario::after_grace();
    scenario.session.idle_expires = scenario.session.expires.plus_secs(1);
    scenario.now = scenario.session.expires;
    assert_eq!(scenario.present(3, None), Decision::End(EndReason::Expired));
}

#[test]
fn row_2_the_last_generation_has_no_child() {
    let mut scenario = Scenario::after_grace();
    assert_eq!(scenario.present(u32::MAX, None), Decision::End(EndReason::Expired));
    scenario.session.generation = u32::MAX;
    assert_eq!(scenario.present(u32::MAX, None), Decision::End(EndReason::Expired));
    scenario.session.generation = u32::MAX - 1;
    assert!(matches!(scenario.present(u32::MAX - 1, None), Decision::Rotate(..)));
}

#[test]
fn row_3_a_disabled_deleted_or_signed_out_user_has_no_session() {
    let mut scenario = Scenario::in_grace();
    scenario.user.disabled = true;
    assert_eq!(scenario.present(3, None), Decision::End(EndReason::Revoked));
    scenario.user.disabled = false;
    scenario.user.end_all_sessions();
    assert_eq!(scenario.present(3, None), Decision::End(EndReason::Revoked));
    let presented = Presented { generation: 3, retry_key: None, signing_kid: KID };
    let without_user = decide(Some(&scenario.session), None, presented, Now::at(scenario.now), &POLICY);
    assert_eq!(without_user, Decision::End(EndReason::Revoked));
}

#[test]
fn row_4_a_token_ahead_of_the_record_heals_it() {
    for scenario in [Scenario::after_grace(), Scenario::in_grace()] {
        let Decision::Rotate(healed, Rotation::Ahead) = scenario.present(5, Some(KEY_C)) else {
            panic!("a token ahead rotates")
        };
        assert_eq!(healed.generation, 6);
        assert_eq!(healed.retry_keys, [Some(KEY_C), None]);
    }
}

#[test]
fn row_5_the_current_token_in_grace_is_handed_out_again() {
    for retry_key in [None, Some(KEY_B), Some(KEY_C)] {
        let decision = Scenario::in_grace().present(3, retry_key);
        assert_eq!(decision, Decision::Repeat(Repetition::Unrotated));
    }
}

#[test]
fn row_5a_the_key_of_the_last_rotation_does_not_rotate_once_more() {
    let scenario = Scenario::after_grace();
    assert_eq!(scenario.present(3, Some(KEY_B)), Decision::Decline(Declined::RetryKeyReused));
    assert!(matches!(scenario.present(3, Some(KEY_A)), Decision::Rotate(..)));
}

#[test]
fn row_6_the_current_token_rotates_once_grace_is_over() {
    let scenario = Scenario::after_grace();
    let Decision::Rotate(next, Rotation::Current) = scenario.present(3, Some(KEY_C)) else {
        panic!("the current token rotates")
    };
    let expected = Session {
        kid: KID + 1,
        follows_another_key: true,
        generation: 4,
        rotated_at: scenario.now,
        idle_expires: scenario.now.plus_secs(POLICY.inactivity_secs),
        retry_keys: [Some(KEY_C), Some(KEY_B)],
        ..scenario.session
    };
    assert_eq!(next, expected);
}

#[test]
fn a_key_is_needed_until_the_rotation_after_the_next_key_came() {
    let mut scenario = Scenario::after_grace();
    assert!(scenario.session.needs_key(KID) && !scenario.session.needs_key(KID + 1));
    for (generation, still_needed) in [(3, true), (4, false)] {
        let Decision::Rotate(next, _) = scenario.present(generation, None) else { panic!("it rotates") };
        assert_eq!(next.needs_key(KID), still_needed, "after generation {generation}");
        scenario.now = next.rotated_at.plus_secs(GRACE_SECS);
        scenario.session = next;
    }
}

#[test]
fn row_6_inactivity_never_outlives_the_session() {
    let mut scenario = Scenario::after_grace();
    scenario.session.expires = scenario.now.plus_secs(5);
    let Decision::Rotate(next, _) = scenario.present(3, None) else { panic!("the current token rotates") };
    assert_eq!(next.idle_expires, scenario.session.expires);
}

#[test]
fn row_7_one_behind_in_grace_gets_the_same_child() {
    assert_eq!(Scenario::in_grace().present(2, None), Decision::Repeat(Repetition::Concurrent));
    assert_eq!(Scenario::after_grace().present(2, None), Decision::End(EndReason::Reused));
}

#[test]
fn row_8_one_behind_with_the_key_of_the_last_rotation_gets_the_same_child() {
    let scenario = Scenario::after_grace();
    assert_eq!(scenario.present(2, Some(KEY_B)), Decision::Repeat(Repetition::Retried));
    assert_eq!(scenario.present(2, Some(KEY_A)), Decision::End(EndReason::Reused));
}

#[test]
fn row_8a_two_behind_with_the_key_before_last_gets_nothing_and_ends_nothing() {
    let scenario = Scenario::after_grace();
    assert_eq!(scenario.present(1, Some(KEY_A)), Decision::Decline(Declined::Superseded));
    assert_eq!(scenario.present(1, Some(KEY_B)), Decision::End(EndReason::Reused));
}

#[test]
fn row_9_anything_else_is_reuse_also_in_grace() {
    for scenario in [Scenario::after_grace(), Scenario::in_grace()] {
        assert_eq!(scenario.present(1, None), Decision::End(EndReason::Reused));
        assert_eq!(scenario.present(0, Some(KEY_A)), Decision::End(EndReason::Reused));
    }
}

#[test]
fn an_absent_retry_key_matches_nothing_not_even_an_absent_one() {
    let mut scenario = Scenario::after_grace();
    scenario.session.retry_keys = [None, None];
    assert!(matches!(scenario.present(3, None), Decision::Rotate(..)));
    assert_eq!(scenario.present(2, None), Decision::End(EndReason::Reused));
    assert_eq!(scenario.present(1, None), Decision::End(EndReason::Reused));
}

#[test]
fn grace_0_disables_exactly_rows_5_and_7() {
    let mut scenario = Scenario::in_grace();
    scenario.policy.grace_secs = 0;
    scenario.now = scenario.session.rotated_at;
    assert!(matches!(scenario.present(3, None), Decision::Rotate(..)));
    assert_eq!(scenario.present(2, None), Decision::End(EndReason::Reused));
    assert_eq!(scenario.present(2, Some(KEY_B)), Decision::Repeat(Repetition::Retried));
    assert_eq!(scenario.present(1, Some(KEY_A)), Decision::Decline(Declined::Superseded));
}

#[test]
fn handles_are_22_characters_and_read_back() {
    let id = SessionId::new(UserId(0x0123_4567_89ab_cdef), [0xfe; 8]);
    let handle = id.handle();
    assert_eq!(handle.len(), SessionId::HANDLE_LEN);
    assert_eq!(SessionId::from_handle(&handle), Some(id));
    assert_eq!(id.user(), UserId(0x0123_4567_89ab_cdef));
    assert_eq!(SessionId::from_handle(&handle[1..]), None);
    assert_eq!(SessionId::from_handle("not a handle at all...."), None);
}

#[test]
fn labels_are_cut_between_characters() {
    assert_eq!(truncated("Gerät Ärger", 4), "Ger");
    assert_eq!(truncated("short", 24), "short");
}

#[test]
fn debug_shows_a_session_by_its_handle() {
    let id = SessionId::new(UserId(7), [0xfe; 8]);
    assert_eq!(format!("{id:?}"), id.handle());
}

#[test]
fn a_session_lives_its_lifetime_from_the_next_whole_second_on() {
    let user = Scenario::after_grace().user;
    for (millis, seconds) in [(0, 0), (1, 1), (1000, 1)] {
        let begun = UnixMillis(START.0 + millis);
        let session =
            Session::begin(&user, KID, IpAddr::from([127, 0, 0, 1]), "test", Now::at(begun), &POLICY);
        assert_eq!(session.expires, START.plus_secs(POLICY.lifetime_secs + seconds), "{millis}");
    }
}

#[test]
fn an_address_is_kept_in_16_bytes_and_comes_back_as_itself() {
    let v4 = IpAddr::from([192, 0, 2, 1]);
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    assert_eq!(address_bytes(v4), mapped);
    assert_eq!(address_from_bytes(mapped), v4);
    assert_eq!(IpAddr::from(mapped).to_canonical(), v4);
    let v6 = IpAddr::from([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(address_from_bytes(address_bytes(v6)), v6);
}
