//! Hostile and odd tokens before four libraries, each asked as its documentation shows: who accepts what.
//!
//! The table is printed; what is tested is token-core's column. Every token but those said to be altered is signed with
//! the key that all four have, so that only their reading differs.

use std::collections::HashSet;

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use chrono::{DateTime, TimeDelta};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt as _, TimeOptions, UntrustedToken};
use jwt_simple::prelude::{HS256Key, MACLike as _, NoCustomClaims, VerificationOptions};
use serde_json::Value;
use sha2::Sha256;
use token_core::{Key, Verifier};

const SECRET: &[u8; 32] = b"the matrix's secret of 32 bytes!";
const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "door-lock";
/// Two of the libraries read the clock themselves; no time here is near any day this runs on.
const NOW: u64 = 1_800_000_000;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const PAYLOAD: &str = r#"{"iss":"https://id.example","aud":"door-lock","sub":"ada","exp":4000000000}"#;

/// A token, what is odd about it, and whether token-core accepts it.
struct Case(&'static str, String, bool);

fn signed(header: &str, payload: impl AsRef<[u8]>) -> String {
    let encode = Base64UrlUnpadded::encode_string;
    sealed(format!("{}.{}", encode(header.as_bytes()), encode(payload.as_ref())))
}

fn sealed(signing_input: String) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC accepts keys of any length");
    let tag = keyed.chain_update(&signing_input).finalize().into_bytes();
    format!("{signing_input}.{}", Base64UrlUnpadded::encode_string(&tag))
}

fn cases() -> Vec<Case> {
    let good = signed(HEADER, PAYLOAD);
    let (signing_input, tag) = good.rsplit_once('.').expect("a token has dots");
    let header = |text: &str| signed(text, PAYLOAD);
    let claims = |members: &str| signed(HEADER, format!("{},{members}}}", &PAYLOAD[..PAYLOAD.len() - 1]));
    let payload = |from: &str, to: &str| signed(HEADER, PAYLOAD.replace(from, to));
    let last = "AEIMQUYcgkosw048"; // the last character of a tag has two stray bits
    let at = tag.chars().last().expect("a tag has characters");
    let stray = char::from_u32(u32::from(at) + 1).expect("the next letter");
    assert!(last.contains(at));
    let standard = Base64::encode_string(b"{\"alg\":\"HS256\",\"x\":\"\xc2\xbf\xc2\xbf\xc2\xbf?>\"}");
    vec![
        Case("a good token", good.clone(), true),
        Case("the header's members in another order", header(r#"{"typ":"JWT","alg":"HS256"}"#), true),
        Case("a header that nobody knows", header(r#"{"alg":"HS256","x":{"y":[1]}}"#), true),
        Case("an array of audiences with ours", payload(r#""door-lock""#, r#"["gate","door-lock"]"#), true),
        Case("a claim spelled with escapes", payload("aud", "\\u0061ud"), true),
        Case("alg none, unsigned", format!("{}.{}.", Base64UrlUnpadded::encode_string(br#"{"alg":"none"}"#), signing_input.split_once('.').expect("two segments").1), false),
        Case("alg none, signed", header(r#"{"alg":"none"}"#), false),
        Case("alg hs256 in small letters", header(r#"{"alg":"hs256"}"#), false),
        Case("alg HS512", header(r#"{"alg":"HS512"}"#), false),
        Case("no alg", header(r#"{"typ":"JWT"}"#), false),
        Case("alg twice", header(r#"{"alg":"none","alg":"HS256"}"#), false),
        Case("a critical header that nobody knows", header(r#"{"alg":"HS256","crit":["x"],"x":1}"#), false),
        Case("an unencoded payload announced", header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), false),
        Case("a key of its own", header(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#), false),
        Case("of another type", header(r#"{"alg":"HS256","typ":"at+jwt"}"#), false),
        Case("typ a number", header(r#"{"alg":"HS256","typ":1}"#), false),
        Case("a token in a token", header(r#"{"alg":"HS256","cty":"JWT"}"#), false),
        Case("the last byte of the tag changed", format!("{signing_input}.{}", tag.replace(&tag[40..42], if &tag[40..42] == "AA" { "BB" } else { "AA" })), false),
        Case("the tag cut to 16 bytes", format!("{signing_input}.{}", &tag[..22]), false),
        Case("no tag", format!("{signing_input}."), false),
        Case("stray bits behind the tag", format!("{signing_input}.{}{stray}", &tag[..tag.len() - 1]), false),
        Case("padding behind the tag", format!("{good}="), false),
        Case("a line end behind the token", format!("{good}\n"), false),
        Case("a fourth segment", format!("{good}.AAAA"), false),
        Case("the other alphabet of base64", sealed(format!("{}.{}", standard.trim_end_matches('='), signing_input.split_once('.').expect("two segments").1)), false),
        Case("no exp", payload(r#","exp":4000000000"#, ""), false),
        Case("expired", payload("4000000000", "1500000000"), false),
        Case("exp a text", payload("4000000000", r#""4000000000""#), false),
        Case("exp null", payload("4000000000", "null"), false),
        Case("exp negative", payload("4000000000", "-1"), false),
        Case("exp beyond 64 bits", payload("4000000000", "1e30"), false),
        Case("exp twice, the second good", payload(r#""exp""#, r#""exp":1500000000,"exp""#), false),
        Case("exp twice, the first good", claims(r#""exp":1500000000"#), false),
        Case("exp twice, once with escapes", claims(r#""\u0065xp":1500000000"#), false),
        Case("not yet valid", claims(r#""nbf":3900000000"#), false),
        Case("nbf a text", claims(r#""nbf":"3900000000""#), false),
        Case("nbf null", claims(r#""nbf":null"#), false),
        Case("of another issuer", payload("id.example", "evil.example"), false),
        Case("no issuer", payload(r#""iss":"https://id.example","#, ""), false),
        Case("the issuer in an array", payload(r#""https://id.example""#, r#"["https://id.example"]"#), false),
        Case("for another audience", payload("door-lock", "gate"), false),
        Case("for nobody", payload(r#""aud":"door-lock","#, ""), false),
        Case("an empty array of audiences", payload(r#""door-lock""#, "[]"), false),
        Case("an audience that is a number", payload(r#""door-lock""#, r#"["door-lock",1]"#), false),
        Case("a name twice within a claim", claims(r#""x":{"a":1,"a":2}"#), false),
        Case("forty arrays deep", claims(&format!(r#""x":{}{}"#, "[".repeat(40), "]".repeat(40))), false),
        Case("a half surrogate", claims(r#""x":"\ud800""#), false),
        Case("bytes that are no UTF-8", signed(HEADER, [PAYLOAD[..PAYLOAD.len() - 1].as_bytes(), b",\"x\":\"\xff\"}"].concat()), false),
        Case("a byte order mark", signed(HEADER, format!("\u{feff}{PAYLOAD}")), false),
        Case("something behind the claims", signed(HEADER, format!("{PAYLOAD}{{}}")), false),
        Case("claims in an array", signed(HEADER, format!("[{PAYLOAD}]")), false),
        Case("a trailing comma", payload("4000000000}", "4000000000,}"), false),
        Case("a number with a leading zero", claims(r#""x":01"#), false),
        Case("sub a number", payload(r#""ada""#, "7"), false),
        Case("20,000 characters", claims(&format!(r#""x":"{}""#, "x".repeat(15_000))), false),
    ]
}

fn by_token_core(token: &str) -> bool {
    let keys = [Key::new(SECRET).expect("the secret is long enough")];
    Verifier::new(&keys).issuer(ISSUER).audience(AUDIENCE).verify(token, NOW, &mut [0; 8192]).is_ok()
}

fn by_jsonwebtoken(token: &str) -> bool {
    let mut expected = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    expected.set_issuer(&[ISSUER]);
    expected.set_audience(&[AUDIENCE]);
    expected.set_required_spec_claims(&["exp", "iss", "aud"]);
    expected.validate_nbf = true;
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
    jsonwebtoken::decode::<Value>(token, &key, &expected).is_ok()
}

/// jwt-compact leaves issuer and audience to its caller.
fn by_jwt_compact(token: &str) -> bool {
    let Ok(token) = UntrustedToken::new(token) else { return false };
    let Ok(token) = Hs256.validator::<Value>(&Hs256Key::new(SECRET)).validate(&token) else { return false };
    let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(NOW.cast_signed());
    let (claims, time) = (token.claims(), TimeOptions::new(TimeDelta::zero(), move || now));
    let audience = &claims.custom["aud"];
    let is_ours = audience == AUDIENCE || audience.as_array().is_some_and(|all| all.iter().any(|one| one == AUDIENCE));
    // There may be no nbf, which validate_maturity takes for an error.
    let is_mature = claims.not_before.is_none() || claims.validate_maturity(&time).is_ok();
    claims.validate_expiration(&time).is_ok() && is_mature && claims.custom["iss"] == ISSUER && is_ours
}

fn by_jwt_simple(token: &str) -> bool {
    let expected = VerificationOptions {
        allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
        allowed_audiences: Some(HashSet::from([AUDIENCE.to_owned()])),
        ..VerificationOptions::default()
    };
    HS256Key::from_bytes(SECRET).verify_token::<NoCustomClaims>(token, Some(expected)).is_ok()
}

#[test]
fn token_core_accepts_what_is_good_and_nothing_else() {
    jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default().expect("nothing has asked before");
    let libraries: [fn(&str) -> bool; 4] = [by_token_core, by_jsonwebtoken, by_jwt_compact, by_jwt_simple];
    let (mut accepted, mut wrong) = ([0; 4], Vec::new());
    println!("| | token-core | jsonwebtoken | jwt-compact | jwt-simple |\n|---|:-:|:-:|:-:|:-:|");
    for Case(what, token, is_good) in cases() {
        let verdicts = libraries.map(|accepts| accepts(&token));
        let marks = verdicts.map(|accepts| if accepts { "accepts" } else { "" });
        println!("| {what} | {} |", marks.join(" | "));
        for (count, accepts) in accepted.iter_mut().zip(verdicts) {
            *count += u32::from(accepts && !is_good);
        }
        if verdicts[0] != is_good {
            wrong.push(what);
        }
    }
    println!("| **hostile or odd, and accepted** | {} |", accepted.map(|count| count.to_string()).join(" | "));
    assert_eq!(wrong, [""; 0], "token-core judges these otherwise");
}
