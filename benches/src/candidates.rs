//! Every library doing the same two jobs, each by the way its own documentation shows.
//!
//! To sign is to make the claims out of string slices and the token out of the claims. To verify is to accept the token
//! for the issuer, the audience and the time, without leeway, and to have its claims at hand. Keys and expectations are
//! made once, before, as far as the library lets them be.
//!
//! jsonwebtoken and jwt-simple read the clock themselves, some 35 ns of what they take; the others are told the time.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::crypto::{CryptoProvider, KeyUtils, aws_lc, rust_crypto};
use jwt_compact::alg::{Hs256, Hs256Key};
use jwt_compact::{AlgorithmExt as _, TimeOptions, UntrustedToken};
use jwt_simple::prelude::{HS256Key, JWTClaims, MACLike as _, NoCustomClaims, VerificationOptions};
use sha2::Sha256;
use token_core::{Key, NewClaims, Verifier};

use crate::claims::{
    AUDIENCE, Claims, ClaimsWithoutTimes, EXPIRES_AT, ID, ISSUED_AT, ISSUER, NOW, PAYLOAD_LEN, SECRET,
    SUBJECT, TOKEN_LEN,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    Verify,
    Sign,
}

/// One library at one job.
pub(crate) struct Candidate {
    pub(crate) job: Job,
    pub(crate) name: &'static str,
    /// Does the job so many times. The loop is behind the pointer, so calling through it costs nothing per job.
    pub(crate) repeat: Box<dyn Fn(u32)>,
}

/// The name of the row that each job's other rows are compared with.
pub(crate) const FLOOR: &str = "HMAC floor";
/// The name of the row of the library that most programs would otherwise use.
pub(crate) const JSONWEBTOKEN: &str = "jsonwebtoken, rust_crypto";

pub(crate) fn all() -> Vec<Candidate> {
    jsonwebtoken_switch().install_default().expect("nothing has asked for the provider yet");
    let token = token();
    vec![
        candidate(Job::Verify, FLOOR, floor(&token)),
        candidate(Job::Verify, "token-core", verify_by_token_core(&token)),
        candidate(
            Job::Verify,
            "token-core, another's header",
            verify_by_token_core(&token_by_jsonwebtoken()),
        ),
        jsonwebtoken(Job::Verify, JSONWEBTOKEN, false, verify_by_jsonwebtoken(&token)),
        jsonwebtoken(Job::Verify, "jsonwebtoken, aws_lc_rs", true, verify_by_jsonwebtoken(&token)),
        candidate(Job::Verify, "jwt-compact", verify_by_jwt_compact(&token)),
        candidate(Job::Verify, "jwt-simple", verify_by_jwt_simple(&token)),
        candidate(Job::Sign, FLOOR, floor(&token)),
        candidate(Job::Sign, "token-core", sign_by_token_core()),
        jsonwebtoken(Job::Sign, JSONWEBTOKEN, false, sign_by_jsonwebtoken()),
        jsonwebtoken(Job::Sign, "jsonwebtoken, aws_lc_rs", true, sign_by_jsonwebtoken()),
        candidate(Job::Sign, "jwt-compact", sign_by_jwt_compact()),
        candidate(Job::Sign, "jwt-simple", sign_by_jwt_simple()),
    ]
}

/// The work says whether it succeeded, so that none is measured that fails early.
fn candidate(job: Job, name: &'static str, work: impl Fn() -> bool + 'static) -> Candidate {
    assert!(work(), "{name} fails to {job:?}");
    Candidate { job, name, repeat: Box::new(move |times| (0..times).for_each(|_| assert!(work()))) }
}

/// The token that everybody verifies.
fn token() -> String {
    let key = Key::new(SECRET).expect("the secret is long enough");
    let mut buffer = [0; TOKEN_LEN];
    let token = key.sign(&new_claims(), &mut buffer).expect("the token fits exactly");
    assert_eq!(token_core::token_len(token_core::header_len("JWT".len(), None), PAYLOAD_LEN), token.len());
    token.to_owned()
}

fn new_claims() -> NewClaims<'static> {
    NewClaims {
        issuer: Some(black_box(ISSUER)),
        subject: Some(black_box(SUBJECT)),
        audience: Some(black_box(AUDIENCE)),
        expires_at: black_box(EXPIRES_AT),
        issued_at: Some(black_box(ISSUED_AT)),
        id: Some(black_box(ID)),
        ..NewClaims::default()
    }
}

/// What no HS256 library can do without: one HMAC over the signing input, from a key that is ready.
fn floor(token: &str) -> impl Fn() -> bool + 'static {
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET).expect("HMAC accepts keys of any length");
    let (signing_input, _) = token.rsplit_once('.').expect("a token has dots");
    let signing_input = signing_input.to_owned();
    move || {
        let tag = black_box(&keyed).clone().chain_update(black_box(signing_input.as_bytes())).finalize();
        black_box(tag.into_bytes()).len() == 32
    }
}

fn verify_by_token_core(token: &str) -> impl Fn() -> bool + 'static {
    let (token, keys) = (token.to_owned(), [Key::new(SECRET).expect("the secret is long enough")]);
    move || {
        let mut buffer = [0; PAYLOAD_LEN];
        let verifier = Verifier::new(black_box(&keys)).issuer(ISSUER).audience(AUDIENCE);
        black_box(verifier.verify(black_box(&token), black_box(NOW), &mut buffer)).is_ok()
    }
}

fn sign_by_token_core() -> impl Fn() -> bool + 'static {
    let key = Key::new(SECRET).expect("the secret is long enough");
    move || black_box(black_box(&key).sign(&new_claims(), &mut [0; TOKEN_LEN])).is_ok()
}

/// Whether jsonwebtoken hashes by aws-lc-rs just now.
static BY_AWS_LC: AtomicBool = AtomicBool::new(false);

/// jsonwebtoken takes one provider of cryptography per process; this one hands on to either of its own.
fn jsonwebtoken_switch() -> &'static CryptoProvider {
    fn chosen() -> &'static CryptoProvider {
        match BY_AWS_LC.load(Ordering::Relaxed) {
            true => &aws_lc::DEFAULT_PROVIDER,
            false => &rust_crypto::DEFAULT_PROVIDER,
        }
    }
    static SWITCH: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| (chosen().signer_factory)(algorithm, key),
        verifier_factory: |algorithm, key| (chosen().verifier_factory)(algorithm, key),
        key_utils: KeyUtils::new_unimplemented(),
    };
    &SWITCH
}

fn jsonwebtoken(
    job: Job,
    name: &'static str,
    by_aws_lc: bool,
    work: impl Fn() -> bool + 'static,
) -> Candidate {
    let Candidate { repeat, .. } = candidate(job, name, work);
    let repeat = Box::new(move |times| {
        BY_AWS_LC.store(by_aws_lc, Ordering::Relaxed);
        repeat(times);
    });
    Candidate { job, name, repeat }
}

fn token_by_jsonwebtoken() -> String {
    let (header, key) = (jsonwebtoken::Header::default(), jsonwebtoken::EncodingKey::from_secret(SECRET));
    jsonwebtoken::encode(&header, &Claims::to_sign(), &key).expect("these claims can be written")
}

fn verify_by_jsonwebtoken(token: &str) -> impl Fn() -> bool + 'static {
    let (token, key) = (token.to_owned(), jsonwebtoken::DecodingKey::from_secret(SECRET));
    let mut expected = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    expected.set_issuer(&[ISSUER]);
    expected.set_audience(&[AUDIENCE]);
    expected.set_required_spec_claims(&["exp", "iss", "aud"]);
    expected.leeway = 0;
    move || {
        let token = black_box(token.as_str());
        black_box(jsonwebtoken::decode::<Claims<String>>(token, black_box(&key), &expected)).is_ok()
    }
}

fn sign_by_jsonwebtoken() -> impl Fn() -> bool + 'static {
    let (header, key) = (jsonwebtoken::Header::default(), jsonwebtoken::EncodingKey::from_secret(SECRET));
    move || {
        let claims = black_box(Claims::to_sign());
        black_box(jsonwebtoken::encode(&header, &claims, black_box(&key)))
            .is_ok_and(|token| token.len() == TOKEN_LEN)
    }
}

fn date(seconds: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds.cast_signed())
}

/// jwt-compact leaves issuer and audience to its caller.
fn verify_by_jwt_compact(token: &str) -> impl Fn() -> bool + 'static {
    let (token, key) = (token.to_owned(), Hs256Key::new(SECRET));
    let time = TimeOptions::new(TimeDelta::zero(), || black_box(date(NOW)));
    move || {
        let token = UntrustedToken::new(black_box(&token)).expect("the token has the shape of one");
        let token = Hs256.validator::<ClaimsWithoutTimes<String>>(black_box(&key)).validate(&token);
        black_box(token).is_ok_and(|token| {
            let claims = token.claims();
            let is_for_us = claims.custom.iss == ISSUER && claims.custom.aud == AUDIENCE;
            claims.validate_expiration(&time).is_ok() && is_for_us
        })
    }
}

fn sign_by_jwt_compact() -> impl Fn() -> bool + 'static {
    let (header, key) = (jwt_compact::Header::empty().with_token_type("JWT"), Hs256Key::new(SECRET));
    move || {
        let mut claims = jwt_compact::Claims::new(ClaimsWithoutTimes::to_sign());
        claims.expiration = Some(date(EXPIRES_AT));
        claims.issued_at = Some(date(ISSUED_AT));
        black_box(Hs256.token(&header, &black_box(claims), black_box(&key)))
            .is_ok_and(|token| token.len() == TOKEN_LEN)
    }
}

fn verify_by_jwt_simple(token: &str) -> impl Fn() -> bool + 'static {
    let (token, key) = (token.to_owned(), HS256Key::from_bytes(SECRET));
    let expected = VerificationOptions {
        allowed_issuers: Some(HashSet::from([ISSUER.to_owned()])),
        allowed_audiences: Some(HashSet::from([AUDIENCE.to_owned()])),
        time_tolerance: None,
        ..VerificationOptions::default()
    };
    move || {
        // The options go in by value; a copy of them is part of what every call costs.
        let expected = Some(expected.clone());
        black_box(black_box(&key).verify_token::<NoCustomClaims>(black_box(&token), expected)).is_ok()
    }
}

fn sign_by_jwt_simple() -> impl Fn() -> bool + 'static {
    let key = HS256Key::from_bytes(SECRET);
    let date = jwt_simple::prelude::Duration::from_secs;
    move || {
        let claims = JWTClaims {
            issued_at: Some(date(ISSUED_AT)),
            expires_at: Some(date(EXPIRES_AT)),
            invalid_before: None,
            issuer: Some(ISSUER.to_owned()),
            subject: Some(SUBJECT.to_owned()),
            audiences: Some(AUDIENCE.into()),
            jwt_id: Some(ID.to_owned()),
            nonce: None,
            custom: NoCustomClaims {},
        };
        black_box(black_box(&key).authenticate(black_box(claims))).is_ok_and(|token| token.len() == TOKEN_LEN)
    }
}
