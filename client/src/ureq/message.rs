//! The bodies that the authentication endpoints take and give.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::RefreshToken;
use crate::ureq::Response;

/// Longer access tokens are not ours: a header field must hold them, and servers stop reading at some
/// thousands.
const ACCESS_TOKEN_LEN_MAX: usize = 4096;

/// Longer names and handles are not ours, and a record of them might be too long to be read back.
const WORD_LEN_MAX: usize = 64;

/// Room for the longest body sent: a password of 256 bytes, each of them escaped, and a name.
const BODY_LEN_MAX: usize = 4096;

/// What a log-in or a refresh brings.
pub(super) struct Tokens {
    pub(super) access_token: Zeroizing<String>,
    pub(super) expires_in_secs: u32,
    pub(super) refresh_token: RefreshToken,
    pub(super) session: String,
    pub(super) user: String,
    /// Whether the refresh token is a new one; a log-in's always is.
    pub(super) rotated: bool,
}

impl Tokens {
    /// Reads them from a 200, or `None` if it is not the server's: portals answer with 200, too.
    pub(super) fn read(response: &Response) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            access_token: Cow<'a, str>,
            #[serde(borrow)]
            token_type: Cow<'a, str>,
            expires_in: u32,
            #[serde(borrow)]
            refresh_token: Cow<'a, str>,
            session: String,
            user: User,
            rotated: Option<bool>,
        }
        #[derive(Deserialize)]
        struct User {
            name: String,
        }
        if response.status() != 200 {
            return None;
        }
        let body: Body<'_> = serde_json::from_slice(response.body()).ok()?;
        let access_token = Zeroizing::new(body.access_token.into_owned());
        let is_bearer = body.token_type.eq_ignore_ascii_case("bearer");
        let fits_a_header = (1..=ACCESS_TOKEN_LEN_MAX).contains(&access_token.len())
            && access_token.bytes().all(|byte| byte.is_ascii_graphic());
        // Both are printed on terminals.
        let is_printable = |word: &str| word.len() <= WORD_LEN_MAX && !word.chars().any(char::is_control);
        let are_printable = is_printable(&body.user.name) && is_printable(&body.session);
        (is_bearer && fits_a_header && are_printable).then_some(())?;
        Some(Self {
            access_token,
            expires_in_secs: body.expires_in,
            refresh_token: RefreshToken::parse(&body.refresh_token).ok()?,
            session: body.session,
            user: body.user.name,
            rotated: body.rotated.unwrap_or(true),
        })
    }
}

/// The body of a log-in. A program has no cookie jar: it asks for the refresh token in the body.
pub(super) fn login(user: &str, password: &str) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        username: &'a str,
        password: &'a str,
        delivery: &'a str,
    }
    secret_json(&Body { username: user, password, delivery: "body" })
}

/// The body of a refresh and of a log-out.
pub(super) fn refresh_token(token: &RefreshToken) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        refresh_token: &'a str,
    }
    secret_json(&Body { refresh_token: token.as_str() })
}

fn secret_json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // A buffer that grew would leave a copy of the secret in freed memory.
    let mut json = Zeroizing::new(Vec::with_capacity(BODY_LEN_MAX));
    serde_json::to_writer(&mut *json, body).expect("strings always become JSON");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            content_type: "application/json".into(),
            retry_after_secs: None,
            body: Zeroizing::new(body.into()),
        }
    }

    fn good() -> String {
        format!(
            r#"{{"access_token":"a.b.c","token_type":"Bearer","expires_in":600,"session":"s","refresh_token":"{}",
                "user":{{"id":"1","name":"ada","role":"user"}},"rotated":false,"later":[]}}"#,
            "r".repeat(72)
        )
    }

    #[test]
    fn tokens_are_read_whatever_else_a_later_server_adds() {
        let tokens = Tokens::read(&response(200, &good())).unwrap();
        assert_eq!(tokens.access_token.as_str(), "a.b.c");
        assert_eq!((tokens.expires_in_secs, tokens.rotated), (600, false));
        assert_eq!((tokens.session.as_str(), tokens.user.as_str()), ("s", "ada"));
    }

    #[test]
    fn what_the_server_would_not_say_is_not_tokens() {
        assert!(Tokens::read(&response(201, &good())).is_none());
        for (from, to) in [
            ("Bearer", "mac"),
            ("a.b.c", "a b"),
            ("a.b.c", "a\\r\\nX-Evil: 1"),
            ("a.b.c", ""),
            ("rrrr", "rrr"),
            ("600", "-1"),
            ("\"ada\"", "\"\\u001b[2J\""),
            ("{", "<"),
        ] {
            assert!(Tokens::read(&response(200, &good().replacen(from, to, 1))).is_none(), "{from} → {to}");
        }
    }

    #[test]
    fn a_name_that_a_record_could_not_hold_is_not_the_servers() {
        let named = |name: &str| Tokens::read(&response(200, &good().replace("\"ada\"", name))).is_some();
        assert!(named(&format!("\"{}\"", "\\\"".repeat(64))));
        assert!(!named(&format!("\"{}\"", "\\\"".repeat(65))));
        assert!(!named(&format!("\"{}\"", "\\\"".repeat(8_078))));
    }

    #[test]
    fn bodies_carry_any_name_and_password() {
        let body = login("ada", "q\"\\\u{1f511}\n");
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read["password"], "q\"\\\u{1f511}\n");
        assert_eq!(read["delivery"], "body");
    }
}
