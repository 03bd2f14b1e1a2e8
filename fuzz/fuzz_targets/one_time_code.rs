//! Any text as a one-time code is refused, also as the end of a good one; a good one is good for its purpose and its time.

#![no_main]

use latchkey::one_time_code::{Era, LIFE_SECS, Purpose};
use latchkey::time::UnixMillis;
use latchkey::user::UserId;
use latchkey_fuzz::{NOW, server};
use libfuzzer_sys::fuzz_target;

const ERA: Era = Era([7; 8]);

fuzz_target!(|text: &str| {
    let (keys, now) = (server::keys(), UnixMillis::from_secs(NOW));
    let (key, purpose) = (keys.signing_code_key(), Purpose::Reset { user: UserId(1), epoch: 7 });
    let (code, expires) = key.issue(ERA, purpose, now);
    let start = &code[..code.len().saturating_sub(text.len())];
    for forged in [text.to_owned(), start.to_owned() + text, text.to_owned() + &code] {
        assert_eq!(key.accepts(&forged, ERA, purpose, now), forged == code);
        assert!(!key.accepts(&forged, ERA, Purpose::SetUp, now));
        assert!(!key.accepts(&forged, ERA, Purpose::Reset { user: UserId(1), epoch: 8 }, now));
        assert!(
            !key.accepts(&forged, ERA, purpose, UnixMillis::from_secs(expires)) && expires == NOW + LIFE_SECS
        );
    }
});
