//! A second implementation as judge: what token-core accepts, jsonwebtoken accepts and reads alike.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};
use token_core::{Claim, NewClaims, Verifier, VerifyError};

use crate::support::{SECRET, forge, key};

/// jsonwebtoken reads the clock itself.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn validation(issuer: Option<&str>, audience: Option<&str>) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.validate_aud = audience.is_some();
    if let Some(issuer) = issuer {
        validation.set_issuer(&[issuer]);
    }
    if let Some(audience) = audience {
        validation.set_audience(&[audience]);
    }
    validation
}

fn oracle(token: &str, validation: &Validation) -> jsonwebtoken::errors::Result<Value> {
    jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(&SECRET), validation)
        .map(|token| token.claims)
}

/// Values good and bad for a claim. Times are an hour or more away from now: the two clocks are read one after the other.
fn value() -> impl Strategy<Value = String> {
    let now = now();
    prop_oneof![
        4 => Just(r#""home""#.to_owned()),
        2 => Just(r#""h\u006fme""#.to_owned()),
        1 => Just(r#"["door","home"]"#.to_owned()),
        1 => Just("[]".to_owned()),
        3 => (3600..1_000_000_u64).prop_map(move |secs| (now + secs).to_string()),
        3 => (3600..1_000_000_u64).prop_map(move |secs| (now - secs).to_string()),
        2 => (3600..1_000_000_u64).prop_map(move |secs| format!("{}.25", now + secs)),
        2 => (3600..1_000_000_u64).prop_map(move |secs| format!("{:e}", (now + secs) as f64)),
        2 => (3600..1_000_000_u64).prop_map(move |secs| format!("{}e-2", 100 * (now - secs))),
        1 => Just("18446744073709551615".to_owned()),
        1 => Just("1e99".to_owned()),
        1 => Just("-5".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("{\"a\":[true,false,{}]}".to_owned()),
    ]
}

fn claims() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec!["iss", "aud", "sub", "nbf", "iat", "jti", "sid", "role", "x", "\\u0069ss"]);
    let exp = (3600..1_000_000_u64, any::<bool>()).prop_map(|(secs, is_float)| {
        let exp = now() + secs;
        if is_float { format!(r#""exp":{:e}"#, exp as f64) } else { format!(r#""exp":{exp}"#) }
    });
    (exp, prop::collection::vec((name, value()), 0..4)).prop_map(|(exp, members)| {
        let members = members.iter().map(|(name, value)| format!(r#","{name}":{value}"#)).collect::<String>();
        format!("{{{exp}{members}}}")
    })
}

fn header() -> impl Strategy<Value = String> {
    let member = prop::sample::select(vec![
        "",
        r#","typ":"JWT""#,
        r#","typ":"at+jwt""#,
        r#","kid":"a""#,
        r#","foo":"bar""#,
        r#","alg":"HS256""#,
        r#","crit":["foo"]"#,
        r#","cty":"JWT""#,
    ]);
    member.prop_map(|member| format!(r#"{{"alg":"HS256"{member}}}"#))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_we_accept_jsonwebtoken_accepts(
        header in header(),
        claims in claims(),
        issuer in prop::option::of(Just("home")),
        audience in prop::option::of(Just("door")),
    ) {
        let token = forge(&header, &claims);
        let keys = [key()];
        let mut verifier = Verifier::new(&keys).any_audience();
        if let Some(issuer) = issuer {
            verifier = verifier.issuer(issuer);
        }
        if let Some(audience) = audience {
            verifier = verifier.audience(audience);
        }
        let mut buffer = [0; 1024];
        if let Ok(ours) = verifier.verify(&token, now(), &mut buffer) {
            let theirs = oracle(&token, &validation(issuer, audience));
            prop_assert!(theirs.is_ok(), "{theirs:?}: {header} {claims}");
            let theirs = theirs.unwrap();
            prop_assert_eq!(theirs["iss"].as_str(), ours.issuer());
            prop_assert_eq!(theirs["sub"].as_str(), ours.subject());
            prop_assert_eq!(theirs["exp"].as_f64().map(|exp| exp as u64), Some(ours.expires_at()));
        }
    }

    #[test]
    fn what_jsonwebtoken_signs_we_accept(subject in "\\PC*", issuer in "[ -~]{0,20}", ahead in 60..100_000_u64) {
        let exp = now() + ahead;
        let claims = json!({ "sub": subject, "iss": issuer, "aud": ["door", "gate"], "exp": exp, "nested": { "a": [1.5, null] } });
        let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&SECRET)).unwrap();
        let (keys, mut buffer) = ([key()], [0; 4096]);
        let ours = Verifier::new(&keys).issuer(&issuer).audience("gate").verify(&token, now(), &mut buffer).unwrap();
        prop_assert_eq!(ours.subject(), Some(subject.as_str()));
        prop_assert_eq!(ours.expires_at(), exp);
    }
}

#[test]
fn what_we_sign_jsonwebtoken_accepts() {
    let claims = NewClaims {
        issuer: Some("home"),
        subject: Some("a\"d\\a\n\u{1}😀"),
        audience: Some("door"),
        expires_at: now() + 600,
        not_before: Some(now() - 600),
        issued_at: Some(now()),
        id: Some("1"),
        session: Some("s"),
        role: Some("admin"),
    };
    let token = key().sign_to::<512>(&claims).unwrap();
    let theirs = oracle(&token, &validation(Some("home"), Some("door"))).unwrap();
    assert_eq!(theirs["sub"].as_str(), claims.subject);
    assert_eq!(theirs["sid"].as_str(), claims.session);
    assert!(oracle(&token, &validation(Some("away"), None)).is_err());
}

/// The reviewed list of differences: jsonwebtoken accepts these, we do not. One that it starts to refuse leaves the list.
#[test]
fn jsonwebtoken_accepts_more() {
    let exp = now() + 600;
    let plain = r#"{"alg":"HS256"}"#;
    for (header, claims, ours) in [
        (
            r#"{"alg":"HS256","crit":["x"],"x":"1"}"#,
            format!(r#"{{"exp":{exp}}}"#),
            VerifyError::CriticalHeader,
        ),
        (r#"{"alg":"HS256","typ":"at+jwt"}"#, format!(r#"{{"exp":{exp}}}"#), VerifyError::WrongType),
        (
            r#"{"alg":"HS256","jku":"https://e.example"}"#,
            format!(r#"{{"exp":{exp}}}"#),
            VerifyError::ForbiddenHeader,
        ),
        (r#"{"alg":"HS256","cty":"JWT"}"#, format!(r#"{{"exp":{exp}}}"#), VerifyError::ForbiddenHeader),
        (r#"{"alg":"HS256","kid":"a"}"#, format!(r#"{{"exp":{exp}}}"#), VerifyError::UnknownKey),
        (plain, format!(r#"{{"exp":{exp},"x":1,"x":2}}"#), VerifyError::MalformedClaims),
        (plain, format!(r#"{{"exp":{exp},"iat":"soon"}}"#), VerifyError::InvalidClaim(Claim::IssuedAt)),
    ] {
        let token = forge(header, &claims);
        let keys = [key()];
        let answer = Verifier::new(&keys).any_audience().verify(&token, now(), &mut [0; 256]).unwrap_err();
        assert_eq!(answer, ours, "{header} {claims}");
        assert!(oracle(&token, &validation(None, None)).is_ok(), "refused by both now: {header} {claims}");
    }
}

#[test]
fn jsonwebtoken_accepts_a_missing_claim_that_is_expected() {
    let token = forge(r#"{"alg":"HS256"}"#, format!(r#"{{"exp":{}}}"#, now() + 600));
    let keys = [key()];
    let verifier = Verifier::new(&keys).issuer("home").audience("door");
    assert_eq!(verifier.verify(&token, now(), &mut [0; 64]).err(), Some(VerifyError::WrongIssuer));
    assert!(oracle(&token, &validation(Some("home"), Some("door"))).is_ok());
}
