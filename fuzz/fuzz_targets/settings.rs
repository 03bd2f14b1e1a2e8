//! Any bytes as a `.env` file: an error, or settings within their ranges that mean the same when they are given as flags.

#![no_main]

use std::path::Path;
use std::{env, fs, process};

use latchkey::settings::Given;
use latchkey::site::PublicUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let path = env::temp_dir().join(format!("latchkey-fuzz-{}.env", process::id()));
    fs::write(&path, input).expect("the temporary folder takes a file");
    let Ok(given) = Given::gather([], [], &path) else { return };
    let Ok(settings) = given.resolve() else { return };
    assert!(settings.policy.grace_secs <= 60 && (1..=86_400).contains(&settings.access_ttl_secs));
    assert!((8..=64).contains(&settings.password_chars_min) && (1..=64).contains(&settings.argon2_slots));
    assert!(
        settings.listen.ip().is_loopback()
            || settings.allow_plain_http
            || settings.public_url.as_ref().is_some_and(PublicUrl::is_https)
    );
    let read_url = if settings.allow_plain_http { PublicUrl::parse_also_plain } else { PublicUrl::parse };
    let origins = &settings.allowed_origins;
    assert!(origins.iter().all(|origin| read_url(origin).is_ok_and(|url| url.as_str() == origin)));

    let said = given.report().filter(|(.., source)| *source != "default");
    let flags: Vec<_> = said.map(|(setting, value, _)| (setting.name, value.to_owned())).collect();
    let again = Given::gather(flags, [], Path::new("/nowhere")).and_then(|given| given.resolve());
    assert_eq!(again.map(|again| format!("{again:?}")), Ok(format!("{settings:?}")));
});
