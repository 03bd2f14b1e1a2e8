//! Settings from flags, environment and file: which wins, what is refused, and what is said then.

use super::*;

fn given(environment: &[(&str, &str)], dotenv: &str) -> Result<Given, SettingError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    std::fs::write(&path, dotenv).unwrap();
    let flags = [(GRACE, "5".to_owned())];
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Given::gather(flags, environment, &path)
}

fn refusal(name: &str, value: &str) -> String {
    let given = given(&[(name, value)], "");
    given.and_then(|given| given.resolve().map(drop)).unwrap_err().to_string()
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let environment = [("LATCHKEY_GRACE_SECS", "6"), ("LATCHKEY_ACCESS_TTL_SECS", "7"), ("PATH", "ignored")];
    let dotenv = "LATCHKEY_GRACE_SECS=8\nLATCHKEY_ACCESS_TTL_SECS=9\nLATCHKEY_ISSUER='me'\nOTHER=x\n";
    let settings = given(&environment, dotenv).unwrap().resolve().unwrap();
    assert_eq!(settings.policy.grace_secs, 5);
    assert_eq!(settings.access_ttl_secs, 7);
    assert_eq!(settings.issuer.as_deref(), Some("me"));
}

#[test]
fn with_nothing_given_the_table_tells_the_defaults() {
    let given = Given::gather([], [], Path::new("/nowhere/.env")).unwrap();
    let settings = given.resolve().unwrap();
    let table = |name| given.report().find(|(setting, ..)| setting.name == name).unwrap().1.to_owned();
    assert_eq!(settings.data, Path::new(&table(DATA)));
    assert_eq!(settings.listen.to_string(), table(LISTEN));
    assert_eq!(settings.access_ttl_secs.to_string(), table(ACCESS_TTL));
    assert_eq!(settings.policy.grace_secs.to_string(), table(GRACE));
    assert_eq!(settings.policy.inactivity_secs.to_string(), table(INACTIVITY));
    assert_eq!(settings.policy.lifetime_secs.to_string(), table(LIFETIME));
    assert_eq!(settings.password_chars_min.to_string(), table(PASSWORD_MIN_CHARS));
}

#[test]
fn the_ends_of_a_range_are_in_it_and_their_neighbours_are_not() {
    for good in ["1", "86400"] {
        assert!(given(&[(ACCESS_TTL, good)], "").unwrap().resolve().is_ok(), "{good}");
    }
    for bad in ["0", "86401", "-1", "ten", "1.5", " 1"] {
        assert!(refusal(ACCESS_TTL, bad).contains("a whole number from 1 to 86400"), "{bad}");
    }
    assert!(refusal(ARGON2_SLOTS, "65").contains("from 1 to 64"));
    assert!(refusal(PASSWORD_MIN_CHARS, "7").contains("from 8 to 64"));
}

#[test]
fn an_unknown_name_is_refused_wherever_it_stands() {
    assert!(refusal("LATCHKEY_GRACE", "1").contains("LATCHKEY_GRACE is no setting"));
    let error = given(&[], "LATCHKEY_PORT=80\n").unwrap_err().to_string();
    assert!(error.contains("LATCHKEY_PORT in ") && error.contains("LATCHKEY_LISTEN"), "{error}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let settings = given(&[(ACCESS_TTL, "")], "LATCHKEY_ACCESS_TTL_SECS=9").unwrap().resolve().unwrap();
    assert_eq!(settings.access_ttl_secs, 9);
}

#[test]
fn addresses_off_loopback_and_plain_http_urls_are_refused_with_advice() {
    assert!(refusal(LISTEN, "0.0.0.0:8080").contains("clear text"));
    let behind_a_proxy = [(LISTEN, "0.0.0.0:8080"), (PUBLIC_URL, "https://auth.example.com")];
    assert!(given(&behind_a_proxy, "").unwrap().resolve().is_ok());
    assert!(refusal(LISTEN, "8080").contains("an IP address and a port"));
    assert!(refusal(PUBLIC_URL, "http://auth.example.com").contains("https://"));
    assert!(refusal(ALLOWED_ORIGINS, "https://a.example, b.example").contains("`b.example` is no origin"));
    assert!(refusal(ARGON2_PROFILE, "fast").contains("`low-memory`"));
    assert!(refusal(ISSUER, &"x".repeat(256)).contains("255 bytes"));
}

#[test]
fn an_empty_flag_and_a_doubled_line_are_refused() {
    let empty = Given::gather([(DATA, String::new())], [], Path::new("/nowhere/.env")).unwrap_err();
    assert!(empty.to_string().contains("--data is empty"));
    let doubled = given(&[], "LATCHKEY_ISSUER=a\nLATCHKEY_ISSUER=b\n").unwrap_err();
    assert!(doubled.to_string().contains("line 2, LATCHKEY_ISSUER: it stands twice"), "{doubled}");
}

#[test]
fn a_broken_line_of_ours_is_refused_with_its_place() {
    let error = given(&[], "OTHER\nLATCHKEY_ISSUER\n").unwrap_err().to_string();
    assert!(error.contains(".env: line 2, LATCHKEY_ISSUER: there is no ="), "{error}");
    let error = given(&[], "\nLATCHKEY_GRACE_SECS=99").unwrap();
    assert_eq!(error.resolve().map(drop), Ok(()), "the flag wins");
}

#[test]
fn what_an_orchestrator_sets_is_ignored_and_what_a_person_misspelt_is_not() {
    let environment = [
        ("LATCHKEY_PORT", "tcp://10.96.7.1:8080"),
        ("LATCHKEY_SERVICE_HOST", "10.96.7.1"),
        ("LATCHKEY_ISSUER", "me"),
    ];
    let ours = given(&environment, "").unwrap();
    assert_eq!(ours.ignored(), ["LATCHKEY_PORT", "LATCHKEY_SERVICE_HOST"]);
    assert_eq!(ours.resolve().unwrap().issuer.as_deref(), Some("me"));
    assert!(given(&[], "LATCHKEY_SERVICE_HOST=10.96.7.1").is_err(), "no orchestrator writes a file");
    for (name, meant) in [
        ("LATCHKEY_GRACE", "LATCHKEY_GRACE_SECS"),
        ("LATCHKEY_PORT", "LATCHKEY_LISTEN"),
        ("LATCHKEY_TRUSTED_PROXY", "LATCHKEY_TRUSTED_PROXIES"),
        ("LATCHKEY_ISSUR", "LATCHKEY_ISSUER"),
        ("LATCHKEY_PUBLICURL", "LATCHKEY_PUBLIC_URL"),
    ] {
        let error = refusal(name, "8080");
        assert!(
            error.contains(&format!("{name} is no setting of latchkey; did you mean {meant}?")),
            "{error}"
        );
    }
    assert!(!refusal("LATCHKEY_XYZZY", "1").contains("did you mean"));
}

#[test]
fn plain_http_off_loopback_has_to_be_asked_for() {
    let plain = [(ALLOW_PLAIN_HTTP, "yes"), (LISTEN, "0.0.0.0:8080")];
    assert!(given(&plain, "").unwrap().resolve().unwrap().allow_plain_http);
    let named = [
        (ALLOW_PLAIN_HTTP, "yes"),
        (PUBLIC_URL, "http://dev.example:8080"),
        (ALLOWED_ORIGINS, "http://app.example"),
    ];
    let settings = given(&named, "").unwrap().resolve().unwrap();
    assert_eq!(settings.public_url.unwrap().as_str(), "http://dev.example:8080");
    assert_eq!(settings.allowed_origins, ["http://app.example"]);
    assert!(refusal(LISTEN, "0.0.0.0:8080").contains("LATCHKEY_ALLOW_PLAIN_HTTP=yes"));
    assert!(refusal(PUBLIC_URL, "http://dev.example:8080").contains("LATCHKEY_ALLOW_PLAIN_HTTP=yes"));
    assert!(refusal(ALLOWED_ORIGINS, "http://app.example").contains("http:// is for loopback"));
    for word in ["true", "1", "Yes", "on"] {
        assert!(refusal(ALLOW_PLAIN_HTTP, word).contains("`yes` or `no`"), "{word}");
    }
}

#[test]
fn a_port_of_the_platform_is_heard_of_unless_something_says_where_to_listen() {
    let asked = given(&[("PORT", "5000")], "").unwrap();
    assert_eq!(asked.unheard_port(), Some("5000"));
    let answered = given(&[("PORT", "5000"), (LISTEN, "127.0.0.1:5000")], "").unwrap();
    assert_eq!(answered.unheard_port(), None);
}

#[test]
fn the_log_level_is_a_setting() {
    let settings = given(&[(LOG_LEVEL, "debug")], "").unwrap().resolve().unwrap();
    assert_eq!(settings.log_level, Some(LevelFilter::Debug));
    assert!(refusal(LOG_LEVEL, "verbose").contains("error, warn, info, debug, trace or off"));
}
