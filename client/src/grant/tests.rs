//! Every transition of a grant.

use super::*;
use crate::Failure;

const NOW: Moment = Moment::from_millis(100_000);

fn token(letter: char) -> RefreshToken {
    RefreshToken::parse(&String::from(letter).repeat(REFRESH_TOKEN_LEN)).unwrap()
}

fn key(byte: u8) -> RetryKey {
    RetryKey::from_random([byte; 16])
}

fn renewed(letter: char) -> Outcome {
    Outcome::Renewed { token: token(letter), expires_in_secs: Some(600) }
}

/// A grant whose token `a` was prepared with key 1 and is on the wire.
fn sent() -> Grant {
    let mut grant = Grant::new(token('a'));
    assert_eq!(grant.prepare(key(1), NOW), Prepared::Send);
    grant
}

#[test]
fn a_key_is_made_before_the_token_is_first_sent() {
    let grant = sent();
    assert_eq!(grant.retry_key(), Some(&key(1)));
    assert!(grant.unanswered());
}

#[test]
fn every_attempt_with_one_token_uses_one_key() {
    for outcome in [
        Outcome::Failed(Failure::Unsent),
        Outcome::Failed(Failure::Lost),
        Outcome::Failed(Failure::Busy { retry_after_secs: None }),
        Outcome::Failed(Failure::Foreign { retry_after_secs: None }),
        Outcome::Failed(Failure::Refused),
    ] {
        let mut grant = sent();
        grant.finished(&outcome, NOW);
        assert_eq!(grant.prepare(key(2), NOW), Prepared::Send, "retried at once after {outcome:?}");
        assert_eq!(grant.retry_key(), Some(&key(1)), "{outcome:?}");
    }
}

#[test]
fn a_different_token_drops_the_key() {
    let mut grant = sent();
    grant.finished(&renewed('b'), NOW);
    assert_eq!(grant.token(), &token('b'));
    assert_eq!(grant.retry_key(), None);
    assert!(!grant.unanswered());
    assert_eq!(grant.prepare(key(2), NOW), Prepared::Send, "and nothing was abandoned, so nothing waits");
    assert_eq!(grant.retry_key(), Some(&key(2)));
}

#[test]
fn the_same_token_again_keeps_the_key() {
    let mut grant = sent();
    grant.finished(&renewed('a'), NOW);
    assert_eq!(grant.retry_key(), Some(&key(1)));
    assert!(!grant.unanswered());
    assert_eq!(grant.prepare(key(2), NOW), Prepared::Send);
    assert_eq!(grant.retry_key(), Some(&key(1)));
}

#[test]
fn after_an_abandoned_attempt_the_next_token_waits() {
    let mut grant = sent();
    grant.finished(&Outcome::Failed(Failure::Lost), NOW);
    assert_eq!(grant.prepare(key(2), NOW.plus_secs(1)), Prepared::Send, "the same token does not wait");
    grant.finished(&renewed('b'), NOW.plus_secs(1));

    let quiet_until = NOW.plus_secs(QUIET_SECS);
    let just_before = Moment::from_millis(quiet_until.as_millis() - 1);
    assert_eq!(grant.prepare(key(2), just_before), Prepared::Wait(quiet_until));
    assert_eq!(grant.retry_key(), None, "a token that waits has no key yet");
    assert!(!grant.unanswered());
    assert_eq!(grant.prepare(key(2), quiet_until), Prepared::Send);
}

#[test]
fn the_last_abandoned_attempt_counts() {
    let mut grant = sent();
    grant.finished(&Outcome::Failed(Failure::Lost), NOW);
    let _ = grant.prepare(key(2), NOW.plus_secs(10));
    grant.finished(&Outcome::Failed(Failure::Lost), NOW.plus_secs(20));
    let _ = grant.prepare(key(2), NOW.plus_secs(20));
    grant.finished(&renewed('b'), NOW.plus_secs(21));
    assert_eq!(grant.quiet_until(), NOW.plus_secs(20 + QUIET_SECS));
}

#[test]
fn a_failure_that_was_answered_or_never_sent_makes_nobody_wait() {
    for failure in [Failure::Unsent, Failure::Busy { retry_after_secs: Some(1) }, Failure::Refused] {
        let mut grant = sent();
        grant.finished(&Outcome::Failed(failure), NOW);
        assert_eq!(grant.quiet_until(), Moment::default(), "{failure:?}");
    }
}

#[test]
fn an_unanswered_grant_found_at_start_is_retried_at_once_and_the_next_token_waits() {
    let mut grant = Grant::restored(token('a'), Some(key(1)), true, Moment::default());
    assert_eq!(grant.prepare(key(2), NOW), Prepared::Send);
    assert_eq!(grant.retry_key(), Some(&key(1)));
    grant.finished(&renewed('b'), NOW);
    assert_eq!(grant.prepare(key(2), NOW), Prepared::Wait(NOW.plus_secs(QUIET_SECS)));
}

#[test]
fn an_answered_grant_found_at_start_makes_nobody_wait() {
    let mut grant = Grant::restored(token('a'), Some(key(1)), false, Moment::default());
    assert_eq!(grant.prepare(key(2), NOW), Prepared::Send);
    grant.finished(&renewed('b'), NOW);
    assert_eq!(grant.prepare(key(2), NOW), Prepared::Send);
}

#[test]
fn a_refresh_token_is_72_characters_of_base64url() {
    let text = "AZaz09-_".repeat(9);
    assert_eq!(RefreshToken::parse(&text).unwrap().as_str(), text);
    for bad in [&text[1..], &format!("{text}A"), &text.replace('-', "+"), &text.replace('_', "="), ""] {
        assert_eq!(RefreshToken::parse(bad), Err(Malformed), "{bad}");
    }
}

#[test]
fn a_retry_key_is_32_visible_characters() {
    assert_eq!(RetryKey::from_random([0x0f; 16]).as_str(), "0f".repeat(16));
    assert_eq!(RetryKey::parse(&"0f".repeat(16)), Ok(RetryKey::from_random([0x0f; 16])));
    for bad in ["0f".repeat(15), "0f".repeat(17), " f".repeat(16), "é".repeat(16)] {
        assert_eq!(RetryKey::parse(&bad), Err(Malformed), "{bad}");
    }
}

#[test]
fn no_secret_is_printed() {
    let printed = format!("{:?} {:?} {:?}", sent(), token('a'), key(1));
    assert!(!printed.contains("aaaa") && !printed.contains("0101"), "{printed}");
}
