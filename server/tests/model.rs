//! The real store and the real decision beside a reference model that is too plain to be wrong, under random requests
//! and a clock that is turned by hand.

// A test that cannot go on says where, which is what a panic does; clippy spares only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod plain;

use std::collections::HashMap;

use latchkey::command::{self, NewUser, SignIn, Verified};
use latchkey::session::{Presented, RetryKey, SessionId};
use latchkey::store::Store;
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, UserId};
use plain::{POLICY, Plain, in_words};
use proptest::prelude::*;

const LOCALHOST: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

const USERS: u8 = 2;
const SESSIONS: u8 = 3;

/// Something that happens. Sessions and tokens are named by small numbers, so that they meet often.
#[derive(Clone, Debug)]
enum Step {
    SignIn {
        session: u8,
    },
    /// With the token `behind` generations before (or, negative, ahead of) the current one.
    Refresh {
        session: u8,
        behind: i8,
        key: u8,
    },
    SignOut {
        session: u8,
    },
    EndAll {
        user: u8,
    },
    Disable {
        user: u8,
        disabled: bool,
    },
    Wait {
        secs: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 0..SESSIONS;
    let step = prop_oneof![
        2 => session.clone().prop_map(|session| Step::SignIn { session }),
        12 => (session.clone(), prop_oneof![4 => Just(0), 3 => Just(1), 2 => Just(2), 1 => Just(3), 1 => Just(-1)], 0..4_u8)
            .prop_map(|(session, behind, key)| Step::Refresh { session, behind, key }),
        1 => session.prop_map(|session| Step::SignOut { session }),
        1 => (0..USERS).prop_map(|user| Step::EndAll { user }),
        1 => (0..USERS, any::<bool>()).prop_map(|(user, disabled)| Step::Disable { user, disabled }),
        6 => prop_oneof![Just(1), Just(29), Just(30), Just(31), Just(300), Just(600)].prop_map(|secs| Step::Wait { secs }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn id_of(user: u8) -> UserId {
    UserId(u64::from(user) + 1)
}

fn user_of(session: u8) -> u8 {
    session % USERS
}

fn end_all_of(user: u8, plain: &mut HashMap<u8, Plain>) {
    let all = plain.iter_mut().filter(|(session, _)| user_of(**session) == user);
    all.for_each(|(_, known)| known.is_over = true);
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), |_| {}).unwrap();
    for user in 0..USERS {
        let name = format!("user-{user}").parse().unwrap();
        let hash = PasswordHash(String::new());
        store
            .write(move |writes| {
                let new = NewUser { id: id_of(user), name, role: Role::User, password_hash: hash };
                command::add_user(writes, new, None, Now::default()).map(drop)
            })
            .unwrap();
    }
    let mut now = 1_000_000;
    let mut plain: HashMap<u8, Plain> = HashMap::new();
    let mut is_disabled = [false; USERS as usize];
    // Each sign-in gets an id of its own; a session's number names the newest.
    let mut ids: HashMap<u8, SessionId> = HashMap::new();
    let mut sign_ins = 0_u64;

    for step in steps {
        let at = Now::at(UnixMillis(now * 1000));
        match step {
            Step::Wait { secs } => now += secs,
            Step::SignIn { session } => {
                let user = user_of(session);
                sign_ins += 1;
                let sign_in = SignIn {
                    user: id_of(user),
                    verified: Verified { hash: PasswordHash(String::new()), epoch: 0 },
                    upgraded: None,
                    replaces: None,
                    id: SessionId::new(id_of(user), sign_ins.to_be_bytes()),
                    kid: 1,
                    address: [127, 0, 0, 1].into(),
                    label: String::new(),
                };
                let id = sign_in.id;
                let opened =
                    store.write(move |writes| command::sign_in(writes, &sign_in, at, &POLICY)).unwrap();
                prop_assert_eq!(opened.is_ok(), !is_disabled[usize::from(user)]);
                if opened.is_ok() {
                    ids.insert(session, id);
                    plain.insert(session, Plain::begun(now));
                }
            }
            Step::Refresh { session, behind, key } => {
                let (Some(&id), Some(known)) = (ids.get(&session), plain.get_mut(&session)) else { continue };
                let Some(token) = known.current().checked_add_signed(-i32::from(behind)).filter(|t| *t > 0)
                else {
                    continue;
                };
                let retry_key = (key != 0).then_some(RetryKey([key; 16]));
                let presented = Presented { generation: token, retry_key, signing_kid: 1 };
                let refreshed = store
                    .write(move |writes| {
                        command::refresh(writes, id, presented, [127, 0, 0, 1].into(), at, &POLICY)
                    })
                    .unwrap();
                let expected = known.expected(token, key, now, !is_disabled[usize::from(user_of(session))]);
                let answered = in_words(&refreshed.decision);
                // A dead session that was tidied away may have been dead for another reason; dead it is.
                let is_dead = |words| ["session ended", "expired", "revoked"].contains(&words);
                prop_assert!(
                    answered == expected || is_dead(answered) && is_dead(expected),
                    "{answered}, not {expected}"
                );
                known.take(expected, token, key, now);
                if !known.is_over {
                    let record = store.read(|reads| reads.session(id)).unwrap().expect("it lives");
                    prop_assert_eq!(record.generation, known.current());
                }
            }
            Step::SignOut { session } => {
                if let (Some(&id), Some(known)) = (ids.get(&session), plain.get_mut(&session)) {
                    store
                        .write(move |writes| {
                            command::sign_out(writes, id.user(), id, LOCALHOST, at).map(drop)
                        })
                        .unwrap();
                    known.is_over = true;
                }
            }
            Step::EndAll { user } => {
                store
                    .write(move |writes| command::sign_out_everywhere(writes, id_of(user), LOCALHOST, at))
                    .unwrap();
                end_all_of(user, &mut plain);
            }
            Step::Disable { user, disabled } => {
                let event = latchkey::audit::Event::UserDisabled;
                store
                    .write(move |writes| {
                        command::change_user(writes, id_of(user), event, None, at, |user| {
                            user.disabled = disabled;
                        })
                    })
                    .unwrap();
                let was_disabled = std::mem::replace(&mut is_disabled[usize::from(user)], disabled);
                if was_disabled != disabled {
                    end_all_of(user, &mut plain);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_server_answers_as_the_protocol_says(steps in steps()) {
        run(steps)?;
    }
}
