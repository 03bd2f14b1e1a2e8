//! What is signed is what is verified; anything else is refused, and nothing panics.

use proptest::prelude::*;
use serde::Deserialize;
use token_core::{NewClaims, Verifier, VerifyError, header_len, payload_len_max, token_len};

use crate::support::{HEADER, NOW, encode, forge, key, sign, verdict};

#[derive(Clone, Debug)]
struct Signed {
    strings: [Option<String>; 6],
    expires_at: u64,
    not_before: Option<u64>,
    issued_at: Option<u64>,
}

impl Signed {
    fn claims(&self) -> NewClaims<'_> {
        let [issuer, subject, audience, id, session, role] = self.strings.each_ref().map(Option::as_deref);
        let &Signed { expires_at, not_before, issued_at, .. } = self;
        NewClaims { issuer, subject, audience, expires_at, not_before, issued_at, id, session, role }
    }
}

/// Text that a careless JSON writer or reader stumbles over.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\\u0022".to_owned()),
        Just("\",\"exp\":9".to_owned()),
        Just("\u{0}".to_owned()),
        Just("\u{1f}\u{7f}\u{2028}".to_owned()),
        Just("\n\r\t".to_owned()),
        Just("😀\u{10ffff}".to_owned()),
        any::<char>().prop_map(String::from),
        ".{0,8}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn signed() -> impl Strategy<Value = Signed> {
    let strings = prop::array::uniform6(prop::option::of(hostile()));
    (strings, NOW + 1.., prop::option::of(..=NOW), prop::option::of(any::<u64>())).prop_map(
        |(strings, expires_at, not_before, issued_at)| Signed { strings, expires_at, not_before, issued_at },
    )
}

/// The same JSON string with every UTF-16 unit escaped.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()
}

proptest! {
    #[test]
    fn claims_come_back_as_they_were_signed(signed in signed()) {
        let keys = [key().with_type("at+jwt").unwrap().with_kid("a").unwrap()];
        let claims = signed.claims();
        let mut out = [0; 4096];
        let token = keys[0].sign(&claims, &mut out).unwrap();
        let mut verifier = Verifier::new(&keys).any_audience();
        if let Some(issuer) = claims.issuer {
            verifier = verifier.issuer(issuer);
        }
        if let Some(audience) = claims.audience {
            verifier = verifier.audience(audience);
        }
        let mut buffer = vec![0; payload_len_max(token.len())];
        let read = verifier.verify(token, NOW, &mut buffer).unwrap();
        prop_assert_eq!(read.issuer(), claims.issuer);
        prop_assert_eq!(read.subject(), claims.subject);
        prop_assert!(read.audiences().eq(claims.audience));
        prop_assert_eq!(read.expires_at(), claims.expires_at);
        prop_assert_eq!(read.not_before(), claims.not_before);
        prop_assert_eq!(read.issued_at(), claims.issued_at);
        prop_assert_eq!(read.id(), claims.id);
        prop_assert_eq!(read.session(), claims.session);
        prop_assert_eq!(read.role(), claims.role);
    }

    #[test]
    fn serde_json_reads_what_was_signed(signed in signed()) {
        let claims = signed.claims();
        let mut out = [0; 4096];
        let token = key().sign(&claims, &mut out).unwrap();
        let (keys, mut buffer) = ([key()], [0; 4096]);
        let payload = Verifier::new(&keys).verify_payload(token, &mut buffer).unwrap();
        let json: serde_json::Value = serde_json::from_slice(payload).unwrap();
        prop_assert_eq!(json["iss"].as_str(), claims.issuer);
        prop_assert_eq!(json["sub"].as_str(), claims.subject);
        prop_assert_eq!(json["aud"].as_str(), claims.audience);
        prop_assert_eq!(json["exp"].as_u64(), Some(claims.expires_at));
        prop_assert_eq!(json["role"].as_str(), claims.role);
        prop_assert_eq!(token.len(), token_len(header_len(3, None), payload.len()));
    }

    #[test]
    fn any_spelling_of_a_string_is_unescaped(issuer in hostile(), audiences in prop::collection::vec(hostile(), 0..8)) {
        let audiences_json: Vec<String> = audiences.iter().map(|audience| format!("\"{}\"", escaped(audience))).collect();
        let claims = format!(
            r#"{{"\u0061ud":[{}],"exp":{},"iss":"{}","sub":{}}}"#,
            audiences_json.join(" , "), NOW + 1, escaped(&issuer), serde_json::to_string(&issuer).unwrap(),
        );
        let keys = [key()];
        let mut buffer = [0; 8192];
        let token = forge(HEADER, claims);
        let read = Verifier::new(&keys).any_audience().issuer(&issuer).verify(token, NOW, &mut buffer).unwrap();
        prop_assert_eq!(read.issuer(), Some(issuer.as_str()));
        prop_assert_eq!(read.subject(), Some(issuer.as_str()));
        prop_assert!(read.audiences().eq(audiences.iter().map(String::as_str)));
        prop_assert!(audiences.iter().all(|audience| read.has_audience(audience)));
    }

    #[test]
    fn any_payload_comes_back(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let (keys, mut out, mut buffer) = ([key()], [0; 1024], [0; 300]);
        let token = keys[0].sign_payload(&payload, &mut out).unwrap();
        prop_assert_eq!(Verifier::new(&keys).verify_payload(token, &mut buffer), Ok(payload.as_slice()));
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verdict(bytes).is_err());
    }

    #[test]
    fn arbitrary_segments_are_refused(token in "[A-Za-z0-9_.=-]{0,40}\\.[A-Za-z0-9_.-]{0,80}\\.[A-Za-z0-9_-]{43}") {
        prop_assert!(verdict(token).is_err());
    }

    /// Bytes that are authentic but mean nothing, or nearly something, reach every reader without a panic.
    #[test]
    fn arbitrary_authentic_bytes_never_panic(
        header in prop_oneof!["\\{\"alg\":\"HS256\"[ -~]{0,20}\\}", "[\\PC]{0,30}"],
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            r#"\{"exp":18000006[0-9]{2},"[a-z\\u0-9"]{0,6}":[\[\]{}"a-z\\u0-9:,. eE+-]{0,30}\}"#.prop_map(String::into_bytes),
        ],
    ) {
        #[derive(Deserialize)]
        struct Typed {
            #[serde(rename = "exp")]
            _exp: u64,
            #[serde(rename = "a", default)]
            _a: Option<f32>,
            #[serde(rename = "b", default)]
            _b: heapless::Vec<heapless::String<4>, 4>,
        }
        let keys = [key()];
        let verifier = Verifier::new(&keys).any_audience();
        let token = forge(header, &payload);
        let _ = verdict(&token);
        let token = forge(HEADER, &payload);
        let verdict = verdict(&token);
        let typed = verifier.verify_as::<Typed>(&token, NOW, &mut [0; 256]).map(|_| ());
        // The types differ from the claims, perhaps; but what the one refuses the other never accepts.
        prop_assert!(verdict.is_ok() || typed.is_err());
        let raw = sign(&format!("{}.{}", encode(HEADER), String::from_utf8_lossy(&payload)));
        let _ = verifier.verify(raw, NOW, &mut [0; 64]);
    }
}

#[test]
fn the_longest_payload_of_a_token_is_no_longer_than_it_has_to_be() {
    for len in [0, 1, 2, 3, 100] {
        assert_eq!(payload_len_max(token_len(0, len)), len);
    }
    assert_eq!(payload_len_max(0), 0);
}

#[test]
fn any_changed_byte_of_a_token_is_refused() {
    let claims = NewClaims {
        subject: Some("ada"),
        audience: Some("door"),
        expires_at: NOW + 60,
        ..NewClaims::default()
    };
    let keys = [key().with_kid("a").unwrap()];
    let token = keys[0].sign_to::<256>(&claims).unwrap();
    let mut buffer = [0; 128];
    for at in 0..token.len() {
        for byte in 0..=u8::MAX {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = byte;
            let accepted = Verifier::new(&keys).any_audience().verify(&changed, NOW, &mut buffer).is_ok();
            assert_eq!(accepted, changed == token.as_bytes(), "{byte} at {at}");
        }
    }
}

#[test]
fn any_part_of_a_token_is_refused() {
    let claims = NewClaims { subject: Some("ada"), expires_at: NOW + 60, ..NewClaims::default() };
    let token = key().sign_to::<256>(&claims).unwrap();
    for at in 0..token.len() {
        assert!(verdict(&token[..at]).is_err(), "cut at {at}");
        assert!(verdict(&token[at + 1..]).is_err(), "cut before {at}");
        assert!(verdict(format!("{}{}", &token[..at], &token[at + 1..])).is_err(), "without {at}");
    }
}

#[test]
fn the_leftovers_of_an_earlier_token_are_not_read() {
    let keys = [key()];
    let mut buffer = [0; 256];
    let long = forge(HEADER, r#"{"exp":1800000600,"sub":"someone with a long name","iss":"home"}"#);
    let short = forge(HEADER, r#"{"exp":1800000600}"#);
    Verifier::new(&keys).any_audience().verify(long, NOW, &mut buffer).unwrap();
    let claims = Verifier::new(&keys).any_audience().verify(short, NOW, &mut buffer).unwrap();
    assert_eq!(claims.subject(), None);
    let refused = Verifier::new(&keys).any_audience().issuer("home").verify(
        forge(HEADER, r#"{"exp":1800000600}"#),
        NOW,
        &mut buffer,
    );
    assert_eq!(refused.err(), Some(VerifyError::WrongIssuer));
}
