//! `latchkey token`: what a token says, and whether it is good, without a server; the token comes from standard input.

use std::io::{self, Read};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;
use token_core::{Claims, RefreshToken, TOKEN_LEN_MAX, Verifier, VerifyError};
use zeroize::Zeroizing;

use super::{Failure, output::Form, utc_time};
use crate::clock::Clock;
use crate::keys::Keys;
use crate::session::SessionId;
use crate::settings::Settings;
use crate::site::PublicUrl;
use crate::time::UnixMillis;

#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Print what a token says, without verifying any of it
    Inspect,
    /// Verify a token with the keys and settings of this server, and say in words what is wrong with it
    ///
    /// Whether its session still lives, only the server knows.
    Verify,
}

fn read_token() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(TOKEN_LEN_MAX as u64 + 1024).read_to_string(&mut text)?;
    let token = text.trim();
    // What people paste is often the field, not its value.
    let token = token.strip_prefix("Authorization:").map_or(token, str::trim_start);
    let token = token.strip_prefix("Bearer ").map_or(token, str::trim_start);
    if token.is_empty() {
        return Err("there is no token on standard input".into());
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// What a token says of itself.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    AccessToken { header: Value, claims: Value },
    RefreshToken { kid: u8, session: String, generation: u32 },
}

impl Said {
    /// Reads a token as well as it can be read.
    fn read(token: &str) -> Result<Self, Failure> {
        if token.len() == RefreshToken::LEN && !token.contains('.') {
            return Self::read_refresh_token(token);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("this is neither an access token, which has three parts with points between them, nor a refresh \
                        token, which has 72 characters"
                .into());
        };
        let read = |part: &str, name: &str| -> Result<Value, Failure> {
            let bytes =
                Base64UrlUnpadded::decode_vec(part).map_err(|_| format!("the {name} is not base64url"))?;
            serde_json::from_slice(&bytes).map_err(|_| format!("the {name} is not JSON").into())
        };
        Ok(Self::AccessToken { header: read(header, "header")?, claims: read(claims, "payload")? })
    }

    /// Version, key id, session, generation, tag.
    fn read_refresh_token(token: &str) -> Result<Self, Failure> {
        let bytes = Base64UrlUnpadded::decode_vec(token).map_err(|_| "the refresh token is not base64url")?;
        let fields = bytes.split_first_chunk::<2>().and_then(|([version, kid], rest)| {
            let (session, rest) = rest.split_first_chunk()?;
            let (generation, _) = rest.split_first_chunk()?;
            (*version == 1).then(|| (*kid, SessionId(*session), u32::from_be_bytes(*generation)))
        });
        let (kid, session, generation) = fields.ok_or("the refresh token is of another version")?;
        Ok(Self::RefreshToken { kid, session: session.handle(), generation })
    }

    fn print(&self) {
        match self {
            Self::AccessToken { header, claims } => {
                print_members("header", header);
                print_members("claims", claims);
            }
            Self::RefreshToken { kid, session, generation } => {
                say!("refresh token of session {session}, generation {generation}, key {kid}");
            }
        }
    }
}

/// A text that may be anybody's, without what a terminal would obey.
fn shown(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn print_members(name: &str, document: &Value) {
    say!("{name}");
    let Some(members) = document.as_object() else { return say!("  {}", shown(&document.to_string())) };
    for (name, value) in members {
        let time = value.as_u64().filter(|_| ["exp", "iat", "nbf"].contains(&name.as_str()));
        let name = shown(name);
        match time {
            Some(secs) => say!("  {name:5} {value}  {}", utc_time(secs)),
            None => say!("  {name:5} {}", shown(&value.to_string())),
        }
    }
}

/// Prints what a token says.
pub(super) fn inspect(form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Unverified {
        verified: bool,
        #[serde(flatten)]
        said: Said,
    }
    let unverified = Unverified { verified: false, said: Said::read(&read_token()?)? };
    form.print(&unverified, |unverified| {
        say!("UNVERIFIED: anybody can have written this; `latchkey token verify` looks at the signature");
        unverified.said.print();
    })
}

/// Verifies a token, and prints what it says.
pub(super) fn verify(settings: &Settings, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Verified {
        verified: bool,
        #[serde(flatten)]
        said: Said,
    }
    let token = read_token()?;
    let keys = Keys::read(&settings.key_file)?;
    let said = Said::read(&token)?;
    match &said {
        Said::RefreshToken { .. } => drop(RefreshToken::decode(&*token, |kid| keys.refresh(kid))?),
        Said::AccessToken { claims, .. } => {
            check_access_token(settings, &keys, &token)
                .map_err(|(error, now)| in_words(error, claims, now))?;
        }
    }
    form.print(&Verified { verified: true, said }, |verified| {
        say!("good, as far as can be told without a server: only that knows whether the session still lives");
        verified.said.print();
    })
}

/// What issuer and audience have to be, and the verdict.
fn check_access_token(settings: &Settings, keys: &Keys, token: &str) -> Result<(), (Wrong, UnixMillis)> {
    let listener = || PublicUrl::of_listener(settings.listen);
    let public_url = settings.public_url.clone().unwrap_or_else(listener);
    let issuer = settings.issuer.clone().unwrap_or_else(|| public_url.as_str().to_owned());
    let audience = settings.audience.clone().unwrap_or_else(|| issuer.clone());
    let now = Clock::starting_at(UnixMillis(0)).now().system;
    let mut room = [0; TOKEN_LEN_MAX];
    let verified = Verifier::new(keys.access()).issuer(&issuer).audience(&audience).verify(
        token,
        now.as_secs(),
        &mut room,
    );
    verified.map(|_: Claims<'_>| ()).map_err(|error| (Wrong { error, issuer, audience }, now))
}

struct Wrong {
    error: VerifyError,
    issuer: String,
    audience: String,
}

/// What is wrong, with the numbers and names that it depends on.
fn in_words(Wrong { error, issuer, audience }: Wrong, claims: &Value, now: UnixMillis) -> Failure {
    let secs = |name: &str| claims[name].as_u64().unwrap_or_default();
    match error {
        VerifyError::Expired => {
            let expired = secs("exp");
            format!("{error}, {} s ago, at {}", now.as_secs().saturating_sub(expired), utc_time(expired))
                .into()
        }
        VerifyError::NotYetValid => format!("{error}, but from {} on", utc_time(secs("nbf"))).into(),
        VerifyError::WrongIssuer => format!(
            "{error}, {}; this server is {issuer} (LATCHKEY_ISSUER)",
            shown(&claims["iss"].to_string())
        )
        .into(),
        VerifyError::WrongAudience => format!(
            "{error}, {}; this server's is {audience} (LATCHKEY_AUDIENCE)",
            shown(&claims["aud"].to_string())
        )
        .into(),
        VerifyError::BadSignature => {
            format!("{error}: no key of this server signed it, or it was changed").into()
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_token_says_reaches_the_terminal_as_a_command() {
        assert_eq!(shown("a\u{1b}[2J\u{9b}b ë"), "a\\u{1b}[2J\\u{9b}b ë");
    }
}
