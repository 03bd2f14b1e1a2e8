//! What must be refused though its signature is right, and what only looks like it.
//!
//! For each form that is accepted, the nearest one that is not; for each mistake that had a CVE in another library, a
//! test of its name.

use token_core::{
    AUDIENCES_MAX, Claim, DEPTH_MAX, HEADER_LEN_MAX, Key, KeyError, Limit, NAMES_MAX, RefreshTokenError,
    SignError, TOKEN_LEN_MAX, Verifier, VerifyError, payload_len_max,
};

use crate::support::{
    CLAIMS, HEADER, NOW, SECRET, claims_verdict, encode, forge, header_verdict, key, sign, verdict,
    verdict_of,
};

/// `exp` and the claims under test beside it.
fn claims_with(claims: &str) -> String {
    format!(r#"{{"exp":{},{claims}}}"#, NOW + 600)
}

fn verdict_with(claims: &str) -> Result<(), VerifyError> {
    claims_verdict(claims_with(claims))
}

// ---- keys

#[test]
fn cve_2026_44699_zero_length_hmac_key() {
    assert_eq!(Key::new(b"").err(), Some(KeyError::SecretTooShort));
}

#[test]
fn a_secret_of_31_bytes_is_too_short_and_one_of_32_is_not() {
    assert_eq!(Key::new(&[0x5A; 31]).err(), Some(KeyError::SecretTooShort));
    assert!(Key::new(&[0x5A; 32]).is_ok());
    assert!(Key::new(&[0x5A; 1000]).is_ok());
}

// ---- algorithms

#[test]
fn every_algorithm_but_hs256_is_refused() {
    for alg in [
        "none",
        "None",
        "nOnE",
        "",
        "hs256",
        "HS256 ",
        "HS384",
        "HS512",
        "RS256",
        "ES256",
        "EdDSA",
        "HS256\\u0000",
    ] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        assert_eq!(header_verdict(&header), Err(VerifyError::UnsupportedAlgorithm), "{header}");
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(CLAIMS));
    assert!(verdict(&unsigned).is_err());
    assert!(verdict(unsigned.trim_end_matches('.')).is_err());
}

#[test]
fn a_header_without_alg_or_with_one_that_is_no_string_is_malformed() {
    for header in [
        "{}",
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"ALG":"HS256"}"#,
    ] {
        assert_eq!(header_verdict(header), Err(VerifyError::Malformed), "{header}");
    }
}

#[test]
fn a_name_in_the_header_may_be_spelled_with_escapes() {
    assert_eq!(header_verdict(r#"{"\u0061lg":"HS\u0032\u00356"}"#), Ok(()));
    assert_eq!(header_verdict(r#"{"\u0061lg":"HS\u0032\u00357"}"#), Err(VerifyError::UnsupportedAlgorithm));
}

// ---- critical and forbidden headers

#[test]
fn cve_2025_59420_unknown_critical_header() {
    let header = r#"{"alg":"HS256","crit":["bork"],"bork":"x"}"#;
    assert_eq!(header_verdict(header), Err(VerifyError::CriticalHeader));
}

#[test]
fn cve_2026_35042_critical_header_ignored() {
    for crit in [r#"["exp"]"#, r#"["x-custom"]"#, r#"["alg"]"#, "[]", "null", "0", r#""b64""#, "{}", "false"]
    {
        let header = format!(r#"{{"alg":"HS256","crit":{crit}}}"#);
        assert_eq!(header_verdict(&header), Err(VerifyError::CriticalHeader), "{header}");
    }
    assert_eq!(header_verdict(r#"{"alg":"HS256","cr\u0069t":["a"]}"#), Err(VerifyError::CriticalHeader));
    assert_eq!(header_verdict(r#"{"alg":"HS256","Crit":["a"]}"#), Ok(()), "another name, which is ignored");
}

#[test]
fn an_unencoded_payload_is_refused() {
    for header in [
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
    ] {
        assert_eq!(header_verdict(header), Err(VerifyError::CriticalHeader), "{header}");
    }
    let header = encode(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#);
    assert_eq!(verdict(sign(&format!("{header}.{CLAIMS}"))), Err(VerifyError::CriticalHeader));
}

#[test]
fn a_token_cannot_bring_its_own_key() {
    for member in [
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""jku":"https://e.example/k""#,
        r#""x5u":"https://e.example/c""#,
        r#""x5c":["MII"]"#,
        r#""x5t":"AA""#,
        r#""x5t#S256":"AA""#,
        r#""\u006awk":{}"#,
    ] {
        let header = format!(r#"{{"alg":"HS256",{member}}}"#);
        assert_eq!(header_verdict(&header), Err(VerifyError::ForbiddenHeader), "{header}");
    }
}

#[test]
fn a_payload_that_is_said_to_be_something_else_is_refused() {
    for member in [r#""cty":"JWT""#, r#""zip":"DEF""#, r#""enc":"A128GCM""#] {
        let header = format!(r#"{{"alg":"HS256",{member}}}"#);
        assert_eq!(header_verdict(&header), Err(VerifyError::ForbiddenHeader), "{header}");
    }
}

#[test]
fn an_unknown_header_member_is_ignored_but_read_strictly() {
    assert_eq!(header_verdict(r#"{"alg":"HS256","ver":{"a":[1,{"b":null}]}}"#), Ok(()));
    for member in [
        r#""ver":01"#,
        r#""ver":{"a":1,"a":2}"#,
        r#""ver":'x'"#,
        r#""ver":"\ud800""#,
        r#""ver":"#,
        r#""ver":1,"ver":1"#,
    ] {
        let header = format!(r#"{{"alg":"HS256",{member}}}"#);
        assert_eq!(header_verdict(&header), Err(VerifyError::Malformed), "{header}");
    }
}

#[test]
fn a_header_that_is_not_one_object_is_malformed() {
    for header in [
        "",
        "null",
        "[]",
        r#""HS256""#,
        r#"{"alg":"HS256"}{}"#,
        r#"{"alg":"HS256"},"#,
        r#"{"alg":"HS256",}"#,
        "\u{feff}{\"alg\":\"HS256\"}",
    ] {
        assert_eq!(header_verdict(header), Err(VerifyError::Malformed), "{header}");
    }
    assert_eq!(header_verdict(b"{\"alg\":\"HS256\",\"x\":\"\xff\"}"), Err(VerifyError::Malformed));
    assert_eq!(header_verdict(" \t\r\n{ \"alg\" : \"HS256\" }\n"), Ok(()));
}

#[test]
fn a_header_longer_than_the_limit_is_not_read() {
    let header = |padding: usize| format!(r#"{{"alg":"HS256","x":"{}"}}"#, "x".repeat(padding));
    let longest = HEADER_LEN_MAX / 4 * 3 - header(0).len();
    assert_eq!(header_verdict(header(longest)), Ok(()));
    assert_eq!(header_verdict(header(longest + 1)), Err(VerifyError::BeyondLimit(Limit::HeaderLength)));
}

// ---- type

#[test]
fn an_untyped_key_takes_no_type_or_jwt() {
    for header in [
        HEADER,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"typ":"jwt","alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"application/jwt"}"#,
    ] {
        assert_eq!(header_verdict(header), Ok(()), "{header}");
    }
    for typ in ["at+jwt", "", "JWS", "JWT ", "application/", "application/x/jwt", "text/jwt"] {
        let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
        assert_eq!(header_verdict(&header), Err(VerifyError::WrongType), "{header}");
    }
    assert_eq!(header_verdict(r#"{"alg":"HS256","typ":null}"#), Err(VerifyError::Malformed));
}

#[test]
fn a_typed_key_takes_its_type_only() {
    let keys = [key().with_type("at+jwt").unwrap()];
    let verifier = Verifier::new(&keys).any_audience();
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
        r"application\/at+jwt",
        r"\u0061t+jwt",
    ] {
        let token = forge(format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#), CLAIMS);
        assert_eq!(verdict_of(&verifier, token), Ok(()), "{typ}");
    }
    for typ in [
        "JWT",
        "at+jwt2",
        "at-jwt",
        "x/at+jwt",
        "application/application/at+jwt",
        "at+jwt\\u0000",
        &"a".repeat(200),
    ] {
        let token = forge(format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#), CLAIMS);
        assert_eq!(verdict_of(&verifier, token), Err(VerifyError::WrongType), "{typ}");
    }
    assert_eq!(verdict_of(&verifier, forge(HEADER, CLAIMS)), Err(VerifyError::WrongType), "no type at all");
}

#[test]
fn a_key_of_an_impossible_type_or_id_is_not_made() {
    for typ in ["", "at jwt", "at\"jwt", "at\\jwt", "ät+jwt", "a-type-of-twenty-five-char"] {
        assert_eq!(key().with_type(typ).err(), Some(KeyError::InvalidType), "{typ}");
    }
    for kid in ["", "a b", "a\"", "a\\", "ä", "a\n", &"k".repeat(49)] {
        assert_eq!(key().with_kid(kid).err(), Some(KeyError::InvalidKid), "{kid}");
    }
    assert!(key().with_type("a-type-of-24-characters.").unwrap().with_kid(&"k".repeat(48)).is_ok());
}

// ---- key id

#[test]
fn the_kid_selects_the_key() {
    let keys = [Key::new(&[1; 32]).unwrap().with_kid("new").unwrap(), key().with_kid("old").unwrap()];
    let verifier = Verifier::new(&keys).any_audience();
    let with_kid = |kid: &str| forge(format!(r#"{{"alg":"HS256","kid":{kid}}}"#), CLAIMS);
    assert_eq!(verdict_of(&verifier, with_kid(r#""old""#)), Ok(()));
    assert_eq!(verdict_of(&verifier, with_kid(r#""\u006fld""#)), Ok(()));
    assert_eq!(verdict_of(&verifier, with_kid(r#""new""#)), Err(VerifyError::BadSignature));
    assert_eq!(verdict_of(&verifier, with_kid(r#""other""#)), Err(VerifyError::UnknownKey));
    assert_eq!(verdict_of(&verifier, with_kid(r#""ol""#)), Err(VerifyError::UnknownKey));
    assert_eq!(verdict_of(&verifier, with_kid("7")), Err(VerifyError::Malformed));
    assert_eq!(verdict_of(&verifier, forge(HEADER, CLAIMS)), Err(VerifyError::UnknownKey), "no kid, no key");
}

#[test]
fn of_two_keys_with_one_kid_the_type_selects_however_the_header_is_spelled() {
    let other = Key::new(&[1; 32]).unwrap().with_kid("a").unwrap().with_type("other").unwrap();
    let keys = [other, key().with_kid("a").unwrap().with_type("at+jwt").unwrap()];
    let verifier = Verifier::new(&keys).any_audience();
    for header in
        [r#"{"alg":"HS256","typ":"at+jwt","kid":"a"}"#, r#"{"kid":"a","typ":"at+jwt","alg":"HS256"}"#]
    {
        assert_eq!(verdict_of(&verifier, forge(header, CLAIMS)), Ok(()), "{header}");
    }
    for header in [r#"{"alg":"HS256","typ":"other","kid":"a"}"#, r#"{"kid":"a","typ":"other","alg":"HS256"}"#]
    {
        assert_eq!(verdict_of(&verifier, forge(header, CLAIMS)), Err(VerifyError::BadSignature), "{header}");
    }
    let third = forge(r#"{"kid":"a","typ":"JWT","alg":"HS256"}"#, CLAIMS);
    assert_eq!(verdict_of(&verifier, third), Err(VerifyError::WrongType));
}

#[test]
fn a_key_without_id_takes_no_token_with_one() {
    assert_eq!(header_verdict(r#"{"alg":"HS256","kid":"a"}"#), Err(VerifyError::UnknownKey));
    assert_eq!(header_verdict(r#"{"alg":"HS256","kid":""}"#), Err(VerifyError::UnknownKey));
}

#[test]
fn without_keys_no_token_is_accepted() {
    assert_eq!(
        verdict_of(&Verifier::new(&[]).any_audience(), forge(HEADER, CLAIMS)),
        Err(VerifyError::UnknownKey)
    );
}

// ---- the shape of a token

#[test]
fn cve_2025_30204_splitting_a_million_dots() {
    assert_eq!(verdict(".".repeat(1_000_000)), Err(VerifyError::BeyondLimit(Limit::TokenLength)));
    assert_eq!(verdict(".".repeat(TOKEN_LEN_MAX)), Err(VerifyError::Malformed));
    let dots = format!("{}{}", encode(HEADER), ".".repeat(4000));
    assert_eq!(verdict(sign(&dots)), Err(VerifyError::Malformed));
}

#[test]
fn a_token_has_three_segments() {
    let good = forge(HEADER, CLAIMS);
    assert_eq!(verdict(&good), Ok(()));
    let signature = &good[good.len() - 43..];
    assert_eq!(verdict(sign(&encode(CLAIMS))), Err(VerifyError::Malformed), "two, signed");
    assert_eq!(verdict(signature), Err(VerifyError::Malformed), "one");
    assert_eq!(verdict(format!(".{signature}")), Err(VerifyError::Malformed));
    assert_eq!(verdict(format!("..{signature}")), Err(VerifyError::Malformed));
    assert_eq!(verdict(""), Err(VerifyError::Malformed));
    let four = sign(&format!("{}.{}.{}", encode(HEADER), encode(CLAIMS), encode("{}")));
    assert_eq!(verdict(four), Err(VerifyError::Malformed), "four, signed");
    let empty_fourth = sign(&format!("{}.{}.", encode(HEADER), encode(CLAIMS)));
    assert_eq!(verdict(empty_fourth), Err(VerifyError::Malformed));
    assert!(verdict(format!("{good}.")).is_err());
    assert!(verdict(format!(".{good}")).is_err());
}

#[test]
fn a_signature_has_one_spelling() {
    let good = forge(HEADER, CLAIMS);
    let (signed, last) = good.split_at(good.len() - 1);
    for spelling in [
        format!("{good}="),
        format!("{good}=="),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}\0"),
        signed.to_owned(),
        good.replace('-', "+").replace('_', "/") + "=",
    ] {
        assert!(verdict(&spelling).is_err(), "{spelling:?}");
    }
    // 43 characters hold 258 bits. In each of these the tag's 256 are right.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let canonical = alphabet.find(last).unwrap();
    assert_eq!(canonical % 4, 0);
    for stray_bits in 1..4 {
        let character = &alphabet[canonical + stray_bits..=canonical + stray_bits];
        assert_eq!(verdict(format!("{signed}{character}")), Err(VerifyError::BadSignature), "{character}");
    }
}

#[test]
fn header_and_payload_have_one_spelling() {
    // 16 and 44 bytes: both end in a character with bits to spare.
    let (header, payload) = (encode("{\"alg\":\"HS256\" }"), encode(CLAIMS));
    assert_eq!(verdict(sign(&format!("{header}.{payload}"))), Ok(()));
    for (header, payload) in [
        (format!("{header}=="), payload.clone()),
        (header.clone(), format!("{payload}=")),
        (header.clone(), format!("{payload}\n")),
        (header.clone(), payload.replacen('e', "e ", 1)),
        (next_last(&header), payload.clone()),
        (header.clone(), next_last(&payload)),
        (header.clone(), format!("{payload}AA")),
        (format!("{header}AAA"), payload.clone()),
    ] {
        let token = sign(&format!("{header}.{payload}"));
        assert_eq!(verdict(&token), Err(VerifyError::Malformed), "{token}");
    }
}

/// The same text with the lowest bit of its last character set, which no canonical encoding has.
fn next_last(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    *bytes.last_mut().unwrap() += 1;
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_token_longer_than_the_limit_is_not_looked_at() {
    let token = |padding: usize| {
        let claims = claims_with(&format!(r#""x":"{}""#, "x".repeat(padding)));
        forge(HEADER, claims)
    };
    let payload_len = payload_len_max(TOKEN_LEN_MAX - encode(HEADER).len());
    let longest = payload_len - claims_with("\"x\":\"\"").len();
    assert_eq!(token(longest).len(), TOKEN_LEN_MAX);
    assert_eq!(verdict(token(longest)), Ok(()));
    assert_eq!(verdict(token(longest + 1)), Err(VerifyError::BeyondLimit(Limit::TokenLength)));
}

#[test]
fn a_buffer_one_byte_too_small_is_an_error() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).any_audience();
    let token = forge(HEADER, CLAIMS);
    assert!(verifier.verify(&token, NOW, &mut vec![0; CLAIMS.len()]).is_ok());
    for len in [0, 1, CLAIMS.len() - 1] {
        let refused = verifier.verify(&token, NOW, &mut vec![0; len]).unwrap_err();
        assert_eq!(refused, VerifyError::BufferTooSmall, "{len}");
    }
}

// ---- time

#[test]
fn a_token_without_exp_is_refused() {
    assert_eq!(claims_verdict("{}"), Err(VerifyError::MissingExpiry));
    assert_eq!(claims_verdict(r#"{"EXP":1800000600,"sub":"exp"}"#), Err(VerifyError::MissingExpiry));
}

#[test]
fn at_the_second_of_exp_the_token_is_over() {
    let at = |now: u64| {
        Verifier::new(&[key()])
            .any_audience()
            .verify(forge(HEADER, r#"{"exp":100}"#), now, &mut [0; 64])
            .map(|_| ())
    };
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(99), Ok(()));
    assert_eq!(at(100), Err(VerifyError::Expired));
    assert_eq!(at(101), Err(VerifyError::Expired));
    assert_eq!(at(u64::MAX), Err(VerifyError::Expired));
}

#[test]
fn at_the_second_of_nbf_the_token_counts() {
    let token = forge(HEADER, r#"{"exp":100,"nbf":50}"#);
    let at = |now: u64| Verifier::new(&[key()]).any_audience().verify(&token, now, &mut [0; 64]).map(|_| ());
    assert_eq!(at(49), Err(VerifyError::NotYetValid));
    assert_eq!(at(50), Ok(()));
    assert!(!at(49).unwrap_err().is_expired());
}

#[test]
fn a_fraction_of_a_second_counts_against_the_token() {
    let token = forge(HEADER, r#"{"exp":100.9,"nbf":50.1,"iat":49.9}"#);
    let at = |now: u64| Verifier::new(&[key()]).any_audience().verify(&token, now, &mut [0; 64]).map(|_| ());
    assert_eq!(at(50), Err(VerifyError::NotYetValid));
    assert_eq!(at(51), Ok(()));
    assert_eq!(at(99), Ok(()));
    assert_eq!(at(100), Err(VerifyError::Expired));
}

#[test]
fn leeway_moves_both_ends_and_saturates() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).any_audience().leeway_secs(10);
    let at = |claims: &str, now: u64| verifier.verify(forge(HEADER, claims), now, &mut [0; 64]).map(|_| ());
    let claims = r#"{"exp":100,"nbf":50}"#;
    assert_eq!(at(claims, 39), Err(VerifyError::NotYetValid));
    assert_eq!(at(claims, 40), Ok(()));
    assert_eq!(at(claims, 109), Ok(()));
    assert_eq!(at(claims, 110), Err(VerifyError::Expired));
    let forever = r#"{"exp":18446744073709551615,"nbf":18446744073709551615}"#;
    assert_eq!(at(forever, u64::MAX - 1), Ok(()));
    assert_eq!(at(forever, u64::MAX), Err(VerifyError::Expired));
    assert_eq!(at(forever, 0), Err(VerifyError::NotYetValid));
}

/// Pomerium, Envoy and jjwt write times like these.
#[test]
fn times_are_taken_in_every_spelling() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).any_audience();
    let with = |exp: &str, nbf: &str, now: u64| {
        let token = forge(HEADER, format!(r#"{{"exp":{exp},"nbf":{nbf},"iat":{nbf}}}"#));
        let mut buffer = [0; 128];
        verifier
            .verify(token, now, &mut buffer)
            .map(|claims| (claims.expires_at(), claims.not_before().unwrap(), claims.issued_at().unwrap()))
    };
    let read = (1_683_061_093, 1_683_000_000, 1_683_000_000);
    for exp in ["1.683061093e+09", "1683061093.0", "1683061093.9", "168306109.3E1", "16830610930e-1"] {
        for nbf in ["0.1683e10", "1683e6", "1682999999.1", "1682999999.5e0"] {
            assert_eq!(with(exp, nbf, 1_683_061_092), Ok(read), "{exp} {nbf}");
            assert_eq!(with(exp, nbf, 1_683_000_000), Ok(read), "{exp} {nbf}");
            assert_eq!(with(exp, nbf, 1_683_061_093), Err(VerifyError::Expired), "{exp} {nbf}");
            assert_eq!(with(exp, nbf, 1_682_999_999), Err(VerifyError::NotYetValid), "{exp} {nbf}");
        }
    }
    assert_eq!(with("1e-400", "0", 0), Err(VerifyError::Expired));
}

#[test]
fn times_that_no_clock_shows_are_refused() {
    let wrong = [("exp", Claim::ExpiresAt), ("nbf", Claim::NotBefore), ("iat", Claim::IssuedAt)];
    for time in
        ["-1", "-0", "-0.5", "-1e3", "1e20", "1e999", "18446744073709551616", "99999999999999999999999"]
    {
        for (name, claim) in wrong {
            let others = wrong.iter().filter(|other| other.0 != name);
            let others: String = others.map(|(name, _)| format!(r#","{name}":1800000060"#)).collect();
            let claims = format!(r#"{{"{name}":{time}{others}}}"#);
            assert_eq!(claims_verdict(&claims), Err(VerifyError::InvalidClaim(claim)), "{claims}");
        }
    }
    for exp in ["1e", "1e+", "1.e5", ".1e5", "1e5.0", "1ee5", "--1", "-", "1e0x5"] {
        assert!(claims_verdict(format!(r#"{{"exp":{exp}}}"#)).is_err(), "{exp}");
    }
    for exp in
        ["01800000600", "+1800000600", "1800000600.", ".5", "0x7fffffff", "Infinity", "NaN", "1_800_000_600"]
    {
        assert!(claims_verdict(format!(r#"{{"exp":{exp}}}"#)).is_err(), "{exp}");
    }
}

// ---- claims of the wrong type

#[test]
fn cve_2026_25537_claim_type_confusion() {
    // A date that is no number was once taken for a date that is not there.
    for (claim, wrong) in [("nbf", Claim::NotBefore), ("iat", Claim::IssuedAt)] {
        for value in [r#""99999999999""#, "null", "true", "[99999999999]", r#"{"a":1}"#, r#""""#] {
            let claims = format!(r#""{claim}":{value}"#);
            assert_eq!(verdict_with(&claims), Err(VerifyError::InvalidClaim(wrong)), "{claims}");
        }
    }
    for value in [r#""1800000600""#, "null", "true", "[1800000600]", "{}"] {
        assert_eq!(
            claims_verdict(format!(r#"{{"exp":{value}}}"#)),
            Err(VerifyError::InvalidClaim(Claim::ExpiresAt)),
            "{value}"
        );
    }
}

#[test]
fn a_registered_string_of_another_type_is_an_error_even_if_nobody_asks_for_it() {
    for (claim, wrong) in [("iss", Claim::Issuer), ("sub", Claim::Subject), ("jti", Claim::Id)] {
        for value in ["null", "7", "true", r#"["home"]"#, r#"{"a":"home"}"#] {
            let claims = format!(r#""{claim}":{value}"#);
            assert_eq!(verdict_with(&claims), Err(VerifyError::InvalidClaim(wrong)), "{claims}");
        }
        assert_eq!(verdict_with(&format!(r#""{claim}":"home""#)), Ok(()));
    }
}

/// RFC 7519 §4.3: `sid` and `role` are private names here, and other issuers mean other things by them.
#[test]
fn a_claim_that_is_not_registered_may_be_anything_and_is_no_text_then() {
    let keys = [key()];
    for (claim, wrong) in [("sid", Claim::Session), ("role", Claim::Role)] {
        for value in [
            r#"["Administrator","User"]"#,
            r#"[]"#,
            r#"[["a"],{"a":"b"},"c"]"#,
            r#"{"a":"home","b":["c"]}"#,
            r#"{}"#,
            "null",
            "7",
            "-1.5e3",
            "true",
        ] {
            let claims = claims_with(&format!(r#""{claim}":{value},"sub":"ada""#));
            let mut buffer = [0; 256];
            let claims =
                Verifier::new(&keys).any_audience().verify(forge(HEADER, claims), NOW, &mut buffer).unwrap();
            assert_eq!((claims.session(), claims.role()), (None, None), "{claim}: {value}");
            assert_eq!(claims.subject(), Some("ada"), "{claim}: {value}");
        }
        for value in ["[1,]", r#"{"a":1,"a":2}"#, "nul", r#"["a""#, "01", r#""\ud800""#] {
            let claims = format!(r#""{claim}":{value}"#);
            assert_eq!(verdict_with(&claims), Err(VerifyError::MalformedClaims), "{claims}");
        }
        for twice in [r#"["a"]"#, r#""a""#, "null"] {
            let claims = format!(r#""{claim}":"a","{claim}":{twice}"#);
            assert_eq!(verdict_with(&claims), Err(VerifyError::InvalidClaim(wrong)), "{claims}");
            let claims = format!(r#""{claim}":{twice},"{claim}":"a""#);
            assert_eq!(verdict_with(&claims), Err(VerifyError::InvalidClaim(wrong)), "{claims}");
        }
    }
    let mut buffer = [0; 64];
    let token = forge(HEADER, claims_with(r#""sid":"","role":"r\u006fot""#));
    let claims = Verifier::new(&keys).any_audience().verify(token, NOW, &mut buffer).unwrap();
    assert_eq!((claims.session(), claims.role()), (Some(""), Some("root")));
}

#[test]
fn an_audience_is_a_string_or_an_array_of_strings() {
    for value in ["null", "7", "{}", r#"{"door":true}"#, r#"["door",7]"#, r#"[["door"]]"#, "[null]", "false"]
    {
        let claims = format!(r#""aud":{value}"#);
        assert_eq!(verdict_with(&claims), Err(VerifyError::InvalidClaim(Claim::Audience)), "{claims}");
    }
    for value in [r#""door""#, "[]", r#"["door"]"#, r#"[ "door" , "gate" ]"#] {
        assert_eq!(verdict_with(&format!(r#""aud":{value}"#)), Ok(()), "{value}");
    }
    for value in [r#"["door",]"#, r#"["door" "gate"]"#, r#"[,"door"]"#, r#"["door""#] {
        assert!(verdict_with(&format!(r#""aud":{value}"#)).is_err(), "{value}");
    }
}

#[test]
fn as_many_audiences_as_the_limit_and_no_more() {
    let audiences = |count: usize| format!(r#""aud":[{}]"#, vec![r#""door""#; count].join(","));
    assert_eq!(verdict_with(&audiences(AUDIENCES_MAX)), Ok(()));
    assert_eq!(verdict_with(&audiences(AUDIENCES_MAX + 1)), Err(VerifyError::BeyondLimit(Limit::Audiences)));
}

// ---- expectations

#[test]
fn cve_2020_26160_audience_bypass() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).audience("door");
    let with_aud = |aud: &str| verdict_of(&verifier, forge(HEADER, claims_with(&format!(r#""aud":{aud}"#))));
    for accepted in [r#""door""#, r#"["door"]"#, r#"["gate","door"]"#, r#""d\u006for""#] {
        assert_eq!(with_aud(accepted), Ok(()), "{accepted}");
    }
    for refused in [
        r#""""#,
        "[]",
        r#"[""]"#,
        r#""gate""#,
        r#"["gate"]"#,
        r#""doo""#,
        r#""door ""#,
        r#""DOOR""#,
        r#""door\u0000""#,
        r#""door,gate""#,
    ] {
        assert_eq!(with_aud(refused), Err(VerifyError::WrongAudience), "{refused}");
    }
    assert_eq!(
        verdict_of(&verifier, forge(HEADER, r#"{"exp":1800000600}"#)),
        Err(VerifyError::WrongAudience)
    );
}

#[test]
fn an_expected_issuer_is_a_required_issuer() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).any_audience().issuer("home");
    let with = |claims: &str| verdict_of(&verifier, forge(HEADER, claims_with(claims)));
    assert_eq!(with(r#""iss":"home""#), Ok(()));
    assert_eq!(with(r#""iss":"ho\u006de""#), Ok(()));
    assert_eq!(with(r#""iss":"Home""#), Err(VerifyError::WrongIssuer));
    assert_eq!(with(r#""iss":"home.evil""#), Err(VerifyError::WrongIssuer));
    assert_eq!(with(r#""iss":"""#), Err(VerifyError::WrongIssuer));
    assert_eq!(with(r#""sub":"home""#), Err(VerifyError::WrongIssuer), "missing");
    assert_eq!(with(r#""iss":["home"]"#), Err(VerifyError::InvalidClaim(Claim::Issuer)));
}

#[test]
fn an_expected_empty_string_is_not_a_missing_claim() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).issuer("").audience("");
    assert_eq!(verdict_of(&verifier, forge(HEADER, claims_with(r#""x":0"#))), Err(VerifyError::WrongIssuer));
    assert_eq!(
        verdict_of(&verifier, forge(HEADER, claims_with(r#""iss":"""#))),
        Err(VerifyError::WrongAudience)
    );
    assert_eq!(verdict_of(&verifier, forge(HEADER, claims_with(r#""iss":"","aud":"""#))), Ok(()));
}

#[test]
fn several_issuers_and_audiences_are_expected_by_name() {
    let keys = [key()];
    let verifier = Verifier::new(&keys).issuers(&["home", "hut"]).audiences(&["door", "gate"]);
    let with = |claims: &str| verdict_of(&verifier, forge(HEADER, claims_with(claims)));
    for accepted in [
        r#""iss":"home","aud":"door""#,
        r#""iss":"hut","aud":"gate""#,
        r#""iss":"hut","aud":["garage","gate"]"#,
    ] {
        assert_eq!(with(accepted), Ok(()), "{accepted}");
    }
    assert_eq!(with(r#""iss":"hu","aud":"door""#), Err(VerifyError::WrongIssuer));
    assert_eq!(with(r#""aud":"door""#), Err(VerifyError::WrongIssuer));
    for refused in [r#""aud":"garage""#, r#""aud":[]"#, r#""aud":"""#, r#""aud":"door,gate""#, r#""x":0"#] {
        assert_eq!(with(&format!(r#""iss":"hut",{refused}"#)), Err(VerifyError::WrongAudience), "{refused}");
    }
    let none = Verifier::new(&keys).issuers(&[]).any_audience();
    assert_eq!(verdict_of(&none, forge(HEADER, CLAIMS)), Err(VerifyError::WrongIssuer));
    let nobody = Verifier::new(&keys).audiences(&[]);
    assert_eq!(verdict_of(&nobody, forge(HEADER, CLAIMS)), Err(VerifyError::WrongAudience));
}

#[test]
fn any_audience_takes_a_token_for_somebody_else_and_the_last_choice_counts() {
    let keys = [key()];
    let token = forge(HEADER, claims_with(r#""aud":"gate""#));
    let any = Verifier::new(&keys).any_audience();
    assert_eq!(verdict_of(&any, &token), Ok(()));
    assert_eq!(verdict_of(&any, forge(HEADER, claims_with(r#""x":0"#))), Ok(()));
    assert_eq!(verdict_of(&any.audience("door"), &token), Err(VerifyError::WrongAudience));
    assert_eq!(verdict_of(&any.audience("door").audience("gate"), &token), Ok(()));
    assert_eq!(verdict_of(&any.audience("door").any_audience(), &token), Ok(()));
}

#[test]
fn a_payload_that_would_pass_as_claims_is_not_signed_as_a_payload() {
    let signed = |payload: &str| key().sign_payload(payload.as_bytes(), &mut [0; 512]).map(|_| ());
    for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "e\\u0078p"] {
        for value in ["1800000600", r#""ada""#, "null", "{}", "-1e999"] {
            let payload = format!(r#" {{"x":[1],"{name}":{value}}}"#);
            assert_eq!(signed(&payload), Err(SignError::PayloadIsClaims), "{payload}");
            // Somebody else might read beyond what is not strict.
            let payload = format!(r#"{{"{name}":{value},"x":1,"x":2}}"#);
            assert_eq!(signed(&payload), Err(SignError::PayloadIsClaims), "{payload}");
        }
    }
    for payload in [
        "",
        "exp",
        r#""exp""#,
        r#"["exp",1]"#,
        r#"{"x":{"exp":1800000600}}"#,
        r#"{"role":"admin","sid":"\u0031"}"#,
        r#"{"EXP":1}"#,
        r#"[{"exp":1800000600}]"#,
    ] {
        assert_eq!(signed(payload), Ok(()), "{payload}");
        let mut room = [0; 512];
        let token = key().sign_payload(payload.as_bytes(), &mut room).unwrap();
        assert!(verdict(token).is_err(), "{payload}");
        assert_eq!(Verifier::new(&[key()]).verify_payload(token, &mut [0; 64]), Ok(payload.as_bytes()));
    }
}

// ---- strict JSON

#[test]
fn a_member_comes_once_however_it_is_spelled() {
    for (twice, claim) in [
        (r#""iss":"a","iss":"a""#, Claim::Issuer),
        (r#""iss":"a","\u0069ss":"b""#, Claim::Issuer),
        (r#""i\u0073s":"a","\u0069ss":"b""#, Claim::Issuer),
        (r#""aud":"a","aud":["b"]"#, Claim::Audience),
        (r#""exp":1800000601"#, Claim::ExpiresAt),
        (r#""\u0065xp":1800000601"#, Claim::ExpiresAt),
    ] {
        assert_eq!(verdict_with(twice), Err(VerifyError::InvalidClaim(claim)), "{twice}");
    }
    for twice in [
        r#""x":1,"x":1"#,
        r#""x":1,"\u0078":2"#,
        r#""\u0078":1,"x":2"#,
        r#""\u00e9":1,"é":2"#,
        r#""\ud83d\ude00":1,"😀":2"#,
        r#""a":{"x":1,"x":2}"#,
        r#""a":[[{"b":{"x":1,"y":2,"x":3}}]]"#,
        r#""a":{"":1,"":2}"#,
        r#""a":{"exp":1,"exp":2}"#,
    ] {
        assert_eq!(verdict_with(twice), Err(VerifyError::MalformedClaims), "{twice}");
    }
    for once in [
        r#""x":1,"X":1"#,
        r#""x":{"x":{"x":1}}"#,
        r#""a":[{"x":1},{"x":2}]"#,
        r#""a":{"x":1},"b":{"x":1},"x":1"#,
        r#""a":{"exp":1,"iss":2}"#,
        r#""\\u0078":1,"x":1"#,
    ] {
        assert_eq!(verdict_with(once), Ok(()), "{once}");
    }
}

#[test]
fn a_hundred_thousand_nested_arrays_are_refused() {
    let claims = claims_with(&format!(r#""x":{}"#, "[".repeat(100_000)));
    assert_eq!(claims_verdict(claims), Err(VerifyError::BeyondLimit(Limit::TokenLength)));
    // As many as fit into a token that is looked at.
    for bracket in ["[", r#"{"a":"#, r#"[{"a":"#] {
        let claims = claims_with(&format!(r#""x":{}"#, bracket.repeat(5000 / bracket.len())));
        assert_eq!(claims_verdict(&claims), Err(VerifyError::BeyondLimit(Limit::Depth)), "{bracket}");
    }
}

#[test]
fn nesting_as_deep_as_the_limit_and_no_deeper() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        claims_with(&format!(r#""x":{}1{}"#, "[".repeat(inner), "]".repeat(inner)))
    };
    assert_eq!(claims_verdict(nested(DEPTH_MAX)), Ok(()));
    assert_eq!(claims_verdict(nested(DEPTH_MAX + 1)), Err(VerifyError::BeyondLimit(Limit::Depth)));
}

#[test]
fn as_many_names_as_the_limit_and_no_more() {
    let names = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!(r#""n{n}":{n}"#)).collect();
        claims_with(&format!(r#""iss":"home",{}"#, members.join(",")))
    };
    assert_eq!(claims_verdict(names(NAMES_MAX)), Ok(()));
    assert_eq!(claims_verdict(names(NAMES_MAX + 1)), Err(VerifyError::BeyondLimit(Limit::Names)));
    // Names of objects that are closed are forgotten.
    let closed: Vec<String> = (0..NAMES_MAX).map(|_| r#"{"a":1,"b":2,"c":3}"#.to_owned()).collect();
    assert_eq!(claims_verdict(claims_with(&format!(r#""x":[{}]"#, closed.join(",")))), Ok(()));
}

#[test]
fn an_error_names_the_claim_or_the_limit_and_its_number() {
    let display = |claims: String| claims_verdict(claims).unwrap_err().to_string();
    let wrong = "the claim has the wrong type, comes twice or is no time: ";
    assert_eq!(display(claims_with(r#""jti":7"#)), format!("{wrong}jti"));
    assert_eq!(display(claims_with(r#""role":[],"role":"""#)), format!("{wrong}role"));
    for (limit, number) in [
        (Limit::TokenLength, TOKEN_LEN_MAX),
        (Limit::HeaderLength, HEADER_LEN_MAX),
        (Limit::Depth, DEPTH_MAX),
        (Limit::Names, NAMES_MAX),
        (Limit::Audiences, AUDIENCES_MAX),
    ] {
        let display = VerifyError::BeyondLimit(limit).to_string();
        assert!(display.split(' ').any(|word| word == number.to_string()), "{display}: {number}");
    }
    let header = format!(r#"{{"alg":"HS256","x":{}1{}}}"#, "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert_eq!(header_verdict(header), Err(VerifyError::Malformed));
}

#[test]
fn claims_that_are_not_one_object_are_refused() {
    for claims in [
        "",
        " ",
        "null",
        "[]",
        "1",
        r#""exp""#,
        "{",
        r#"{"exp":1800000600"#,
        r#"{"exp":1800000600}}"#,
        r#"{"exp":1800000600}x"#,
        r#"{"exp":1800000600,}"#,
        r#"{,"exp":1800000600}"#,
        r#"{"exp" 1800000600}"#,
        r#"{exp:1800000600}"#,
        r#"{'exp':1800000600}"#,
        "{\"exp\":1800000600}\0",
        "/**/{\"exp\":1800000600}",
    ] {
        assert_eq!(claims_verdict(claims), Err(VerifyError::MalformedClaims), "{claims}");
    }
    assert_eq!(claims_verdict(b"{\"exp\":1800000600,\"x\":\"\xff\"}"), Err(VerifyError::MalformedClaims));
    assert_eq!(
        claims_verdict(b"{\"exp\":1800000600,\"x\":\"\xed\xa0\x80\"}"),
        Err(VerifyError::MalformedClaims)
    );
}

#[test]
fn the_payload_of_another_format_can_still_be_authenticated() {
    let keys = [key()];
    let token = forge(HEADER, "not json");
    let mut buffer = [0; 16];
    assert_eq!(Verifier::new(&keys).verify_payload(&token, &mut buffer), Ok(&b"not json"[..]));
    let forged = token.replacen("bm90", "bm91", 1);
    assert_eq!(Verifier::new(&keys).verify_payload(forged, &mut buffer), Err(VerifyError::BadSignature));
    let empty = forge(HEADER, "");
    assert_eq!(Verifier::new(&keys).verify_payload(empty, &mut buffer), Ok(&b""[..]));
}

#[test]
fn the_wrong_secret_is_a_bad_signature() {
    let keys = [Key::new(&[9; 32]).unwrap()];
    assert_ne!(SECRET, [9; 32]);
    assert_eq!(
        verdict_of(&Verifier::new(&keys).any_audience(), forge(HEADER, CLAIMS)),
        Err(VerifyError::BadSignature)
    );
}

#[test]
fn cve_2024_51744_expired_hides_a_bad_signature() {
    let forged = |claims: &str| {
        let mut token = forge(HEADER, claims).into_bytes();
        let first_of_signature = token.len() - 43;
        token[first_of_signature] ^= 1;
        verdict(token)
    };
    for claims in [r#"{"exp":1}"#, r#"{"exp":1800000600,"nbf":1800000500}"#, r#"{"exp":null}"#, "{}", "[]"] {
        assert_ne!(claims_verdict(claims), Ok(()), "{claims}");
        assert_eq!(forged(claims), Err(VerifyError::BadSignature), "{claims}");
    }
}

#[test]
fn two_changes_to_a_signature_do_not_cancel_out() {
    let good = forge(HEADER, CLAIMS).into_bytes();
    let signature = good.len() - 43..good.len();
    for at in signature.clone().skip(1) {
        let mut changed = good.clone();
        changed[signature.start] ^= 1;
        changed[at] ^= 1;
        assert_eq!(verdict(changed), Err(VerifyError::BadSignature), "at {at}");
    }
}

// ---- what is said about it

#[test]
fn every_error_says_in_words_what_is_wrong() {
    assert_eq!(VerifyError::Expired.to_string(), "the token has expired");
    assert_eq!(KeyError::SecretTooShort.to_string(), "the secret is shorter than 32 bytes");
    assert_eq!(SignError::BufferTooSmall.to_string(), "the buffer is too small for the token");
    assert_eq!(RefreshTokenError::BadTag.to_string(), "the refresh token's tag is wrong");
}
