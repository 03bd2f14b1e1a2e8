//! Claims of the caller's own type, written and read through serde-json-core.

use serde::{Deserialize, Serialize};
use token_core::{Key, NewClaims, SignError, TOKEN_LEN_MAX, Verifier, VerifyError, payload_len_max};

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

fn read(claims: &str) -> Result<Pump, VerifyError> {
    Verifier::new(&[key()]).verify_as(forge(HEADER, claims), NOW, &mut [0; 512]).map(|(_, pump)| pump)
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
    let (claims, read): (_, Pump) = Verifier::new(&keys).verify_as(token, NOW, &mut buffer).unwrap();
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
    let forged = Verifier::new(&strangers).verify_as::<Pump>(token, NOW, &mut buffer).unwrap_err();
    assert_eq!(forged, VerifyError::BadSignature);
    let expired = Verifier::new(&keys).verify_as::<Pump>(token, NOW + 60, &mut buffer).unwrap_err();
    assert_eq!(expired, VerifyError::Expired);
    assert_eq!(
        read(r#"{"exp":1800000060,"litres":40,"site":"a","x":[{"y":1,"y":2}]}"#),
        Err(VerifyError::MalformedClaims)
    );
}

#[test]
fn claims_of_another_shape_are_wrong_claims() {
    assert_eq!(read(r#"{"exp":1800000060,"litres":40,"site":"north"}"#), Ok(pump()));
    for claims in [
        r#"{"exp":1800000060,"litres":40}"#,
        r#"{"exp":1800000060,"litres":"40","site":"north"}"#,
        r#"{"exp":1800000060,"litres":-1,"site":"north"}"#,
        r#"{"exp":1800000060,"litres":40.5,"site":"north"}"#,
        r#"{"exp":1800000060,"litres":4294967296,"site":"north"}"#,
        r#"{"exp":1800000060,"litres":40,"site":"longer than sixteen"}"#,
        r#"{"exp":1800000060.5,"litres":40,"site":"north"}"#,
    ] {
        assert_eq!(read(claims), Err(VerifyError::WrongClaims), "{claims}");
    }
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
        Verifier::new(&keys).issuer("😀").verify_as(token, NOW, &mut buffer).unwrap();
    assert_eq!(claims.issuer(), Some("😀"));
    assert!(claims.audiences().eq(["a\"", "\\"]));
}

#[test]
fn no_room_left_to_unescape_in_is_a_buffer_too_small() {
    let claims = r#"{"exp":1800000060,"litres":1,"site":"\n\n\n\n\n\n"}"#;
    let token = forge(HEADER, claims);
    let read =
        |len: usize| Verifier::new(&[key()]).verify_as::<Pump>(&token, NOW, &mut vec![0; len]).map(|_| ());
    assert_eq!(read(claims.len() + 5), Err(VerifyError::BufferTooSmall));
    assert_eq!(read(claims.len() + 6), Ok(()));
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
