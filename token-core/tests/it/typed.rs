//! Claims of the caller's own type: written by serde-json-core, read by a reader of ours.

use serde::{Deserialize, Serialize};
use token_core::{
    Key, NewClaims, SignError, TOKEN_LEN_MAX, TypedError, Verifier, VerifyError, payload_len_max,
};

use crate::support::{HEADER, NOW, encode, forge, key};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Pump {
    exp: u64,
    litres: u32,
    site: heapless::String<16>,
}

fn pump() -> Pump {
    Pump { exp: NOW + 60, litres: 40, site: "north".try_into().unwrap() }
}

fn read(claims: &str) -> Result<Pump, TypedError> {
    Verifier::new(&[key()])
        .any_audience()
        .verify_as(forge(HEADER, claims), NOW, &mut [0; 512])
        .map(|(_, pump)| pump)
}

fn written(claims: &impl Serialize) -> Result<(), SignError> {
    key().sign_as(claims, &mut [0; 512]).map(|_| ())
}

#[test]
fn own_claims_come_back_as_they_were_signed() {
    let keys = [key()];
    let mut token = [0; 256];
    let token = keys[0].sign_as(&pump(), &mut token).unwrap();
    let mut buffer = [0; 128];
    let (claims, read): (_, Pump) =
        Verifier::new(&keys).any_audience().verify_as(token, NOW, &mut buffer).unwrap();
    assert_eq!(read, pump());
    assert_eq!(claims.expires_at(), NOW + 60);
}

#[test]
fn own_claims_are_only_read_from_a_token_that_is_good() {
    let keys = [key()];
    let mut token = [0; 256];
    let token = keys[0].sign_as(&pump(), &mut token).unwrap();
    let strangers = [Key::new(&[3; 32]).unwrap()];
    let mut buffer = [0; 128];
    let forged =
        Verifier::new(&strangers).any_audience().verify_as::<Pump>(token, NOW, &mut buffer).unwrap_err();
    assert_eq!(forged, TypedError::Refused(VerifyError::BadSignature));
    let expired =
        Verifier::new(&keys).any_audience().verify_as::<Pump>(token, NOW + 60, &mut buffer).unwrap_err();
    assert_eq!(expired, TypedError::Refused(VerifyError::Expired));
    assert_eq!(
        read(r#"{"exp":1800000060,"litres":40,"site":"a","x":[{"y":1,"y":2}]}"#),
        Err(TypedError::Refused(VerifyError::MalformedClaims))
    );
}

#[test]
fn claims_of_another_shape_are_wrong_claims_and_name_the_field() {
    assert_eq!(read(r#"{"exp":1800000060,"litres":40,"site":"north"}"#), Ok(pump()));
    for (claims, field) in [
        (r#"{"exp":1800000060,"litres":40}"#, "site"),
        (r#"{"exp":1800000060,"litres":"40","site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":-1,"site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":-0,"site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":null,"site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":"","site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":40.5,"site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":4294967296,"site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":18446744073709551616,"site":"north"}"#, "litres"),
        (r#"{"exp":1800000060,"litres":40,"site":"longer than sixteen"}"#, "site"),
        (r#"{"exp":1800000060,"litres":40,"site":["north"]}"#, "site"),
        (r#"{"exp":1800000060.5,"litres":40,"site":"north"}"#, "exp"),
    ] {
        assert_eq!(read(claims), Err(TypedError::WrongClaims { field: Some(field) }), "{claims}");
    }
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    let display = |claims: &str| read(claims).unwrap_err().to_string();
    assert_eq!(
        display(r#"{"exp":1800000060,"litres":[],"site":""}"#),
        "the claims are not those that were asked for: litres"
    );
    assert_eq!(display(r#"{"exp":1}"#), "the token has expired");
}

#[test]
fn escapes_in_own_claims_are_undone_in_names_and_values() {
    let claims = r#"{"\u0065xp":1800000060,"l\u0069tres":40,"site":"\ud83d\ude00 \u0022\\\u0001\/\n","x\n\u0022":"\\\\"}"#;
    assert_eq!(read(claims).unwrap().site, "😀 \"\\\u{1}/\n");
}

#[test]
fn registered_claims_beside_own_ones_are_unescaped_as_ever() {
    let token = forge(
        HEADER,
        r#"{"\u0069ss":"\ud83d\ude00","aud":["a\u0022","\\"],"exp":1800000060,"litres":1,"site":""}"#,
    );
    let keys = [key()];
    let mut buffer = [0; 256];
    let (claims, _): (_, Pump) =
        Verifier::new(&keys).any_audience().issuer("😀").verify_as(token, NOW, &mut buffer).unwrap();
    assert_eq!(claims.issuer(), Some("😀"));
    assert!(claims.audiences().eq(["a\"", "\\"]));
}

#[test]
fn strings_with_escapes_need_no_more_buffer_than_the_payload() {
    let claims =
        r#"{"exp":1800000060,"litres":1,"s\u0069te":"\n\n\n\n\n\n","x":["\u00e9\ud83d\ude00",{"\n":"\\"}]}"#;
    let token = forge(HEADER, claims);
    let keys = [key()];
    let read = |len: usize| {
        let mut buffer = vec![0; len];
        let read = Verifier::new(&keys)
            .any_audience()
            .verify_as::<Pump>(&token, NOW, &mut buffer)
            .map(|(_, pump)| pump.site);
        let verified = Verifier::new(&keys).any_audience().verify(&token, NOW, &mut buffer).map(|_| ());
        (read.map(|site| site.to_string()), verified)
    };
    const HEADER_AND_DOT: usize = "eyJhbGciOiJIUzI1NiJ9.".len();
    assert_eq!(read(payload_len_max(token.len())), (Ok("\n".repeat(6)), Ok(())));
    // Knowing the header, nothing less does.
    assert_eq!(payload_len_max(token.len() - HEADER_AND_DOT + 1), claims.len());
    assert_eq!(read(claims.len()), (Ok("\n".repeat(6)), Ok(())));
    let too_small = VerifyError::BufferTooSmall;
    assert_eq!(read(claims.len() - 1), (Err(TypedError::Refused(too_small)), Err(too_small)));
}

#[test]
fn the_json_of_good_claims_is_what_was_signed_and_of_others_an_error() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).audience("door");
    let json = r#"{ "aud":"d\u006for","exp":1800000060, "x":["\n",{"\ud83d\ude00":1e3}]}"#;
    let token = forge(HEADER, json);
    let mut buffer = vec![0; payload_len_max(token.len())];
    assert_eq!(verifier.verify_json(&token, NOW, &mut buffer), Ok(json));
    assert_eq!(verifier.verify_json(&token, NOW + 60, &mut buffer), Err(VerifyError::Expired));
    assert_eq!(
        verifier.audience("gate").verify_json(&token, NOW, &mut buffer),
        Err(VerifyError::WrongAudience)
    );
    let twice = forge(HEADER, r#"{"aud":"door","exp":1800000060,"x":1,"x":2}"#);
    assert_eq!(verifier.verify_json(twice, NOW, &mut buffer), Err(VerifyError::MalformedClaims));
}

#[test]
fn what_our_verifier_would_refuse_is_not_signed() {
    #[derive(Serialize)]
    struct Eternal {
        sub: &'static str,
    }
    #[derive(Serialize)]
    struct Mistyped {
        exp: &'static str,
    }
    #[derive(Serialize)]
    struct Fractional {
        exp: f64,
    }
    #[derive(Serialize)]
    struct Twice {
        exp: u64,
        x: u64,
        #[serde(rename = "x")]
        again: u64,
    }
    assert_eq!(written(&Eternal { sub: "ada" }), Err(SignError::InvalidClaims));
    assert_eq!(written(&Mistyped { exp: "1800000060" }), Err(SignError::InvalidClaims));
    assert_eq!(written(&Fractional { exp: f64::NAN }), Err(SignError::InvalidClaims));
    assert_eq!(written(&Twice { exp: 1, x: 2, again: 3 }), Err(SignError::InvalidClaims));
    assert_eq!(written(&[1, 2, 3]), Err(SignError::InvalidClaims));
    assert_eq!(written(&pump()), Ok(()));
}

#[test]
fn a_token_that_does_not_fit_is_an_error_at_every_length() {
    let claims = NewClaims { subject: Some("ada"), expires_at: NOW, ..NewClaims::default() };
    let whole = key().sign(&claims, &mut [0; 256]).unwrap().len();
    for len in 0..whole {
        assert_eq!(key().sign(&claims, &mut vec![0; len]), Err(SignError::BufferTooSmall), "{len}");
        assert!(key().sign_as(&pump(), &mut vec![0; len]).is_err(), "{len}");
    }
    assert!(key().sign(&claims, &mut vec![0; whole]).is_ok());
    assert_eq!(key().sign_to::<64>(&claims), Err(SignError::BufferTooSmall));
    assert_eq!(key().sign_to::<256>(&claims).unwrap().len(), whole);
}

#[test]
fn a_token_too_long_for_any_verifier_is_not_signed() {
    let subject = "x".repeat(7000);
    let claims = NewClaims { subject: Some(&subject), expires_at: NOW, ..NewClaims::default() };
    assert_eq!(key().sign(&claims, &mut vec![0; 20_000]), Err(SignError::TooLong));
    let signed = |len: usize| key().sign_payload(&vec![0; len], &mut vec![0; 20_000]).map(str::len);
    let longest = payload_len_max(TOKEN_LEN_MAX - encode(r#"{"alg":"HS256","typ":"JWT"}"#).len());
    assert_eq!(signed(longest), Ok(TOKEN_LEN_MAX));
    assert_eq!(signed(longest + 1), Err(SignError::TooLong));
}
