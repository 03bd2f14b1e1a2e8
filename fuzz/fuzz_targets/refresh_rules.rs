//! Any refreshes of one session: the real decision says what a model says that keeps every rotation the long way.

#![no_main]

#[path = "../../server/tests/plain/mod.rs"]
mod plain;

use latchkey::session::{Decision, Presented, RetryKey, decide};
use latchkey::time::{Now, UnixMillis};
use latchkey_fuzz::{NOW, server};
use libfuzzer_sys::fuzz_target;
use plain::{POLICY, Plain, in_words};

fuzz_target!(|requests: &[u8]| {
    let (user, mut session) = server::user_and_session(&POLICY);
    let (mut known, mut now) = (Plain::begun(NOW), NOW);
    // How long after the one before; which token, and whether the user is disabled; with which retry key.
    for [wait, token, key] in requests.as_chunks().0.iter().copied() {
        now += 2 * u64::from(wait);
        let disabled = token & 0x80 != 0;
        let token = (known.current() + 1).saturating_sub(u32::from(token % 6));
        let retry_key = (key != 0).then_some(RetryKey([key; 16]));
        let presented = Presented { generation: token, retry_key, signing_kid: key };
        let user = latchkey::user::User { disabled, ..user.clone() };
        let decision =
            decide(Some(&session), Some(&user), presented, Now::at(UnixMillis::from_secs(now)), &POLICY);
        let expected = known.expected(token, key, now, !disabled);
        assert_eq!(in_words(&decision), expected);
        known.take(expected, token, key, now);
        match decision {
            Decision::Rotate(next, _) => session = next,
            Decision::End(_) => return,
            Decision::Repeat(_) | Decision::Decline(_) => {}
        }
        assert_eq!(session.generation, known.current());
    }
});
