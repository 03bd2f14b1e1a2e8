//! Problem documents (RFC 9457): every refusal has one code, and `action` says what a client does next.

use std::borrow::Cow;

use serde::Serialize;

use crate::password::Weakness;

/// What a client does next, so that it never has to guess.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Refresh the access token and repeat the request once.
    Refresh,
    /// Ask the user to sign in.
    Login,
    /// Wait as long as `Retry-After` says, then repeat.
    Wait,
    /// Repeat.
    Retry,
    /// Nothing: repeating the same request is no use.
    None,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $action:ident, $title:literal;)*) => {
        /// Every refusal there is: one code for each decision a client can make.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for tests and documents.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as it stands in `type`, behind `urn:latchkey:`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What the client does next.
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The request is malformed.
    BadRequest = "bad_request", 400, None, "The request is malformed";
    /// Row 5a: one retry key for more than one refresh token.
    RetryKeyReused = "retry_key_reused", 400, None, "This Idempotency-Key belongs to an earlier refresh token";
    /// Log-in: unknown, wrong, empty or disabled.
    InvalidCredentials = "invalid_credentials", 401, Login, "The user name or the password is wrong";
    /// Password change: the current password is wrong. No 401, on which clients refresh and send it again.
    WrongPassword = "wrong_password", 403, None, "The current password is wrong";
    /// A protected endpoint was called without a token.
    MissingToken = "missing_token", 401, Refresh, "An access token is required";
    /// A protected endpoint was called with a token that is expired, invalid, or of a session that is over.
    InvalidToken = "invalid_token", 401, Refresh, "The access token is not valid";
    /// Row 0.
    InvalidRefreshToken = "invalid_refresh_token", 401, Login, "The refresh token is not valid";
    /// Row 1.
    SessionEnded = "session_ended", 401, Login, "The session has ended";
    /// Row 2.
    SessionExpired = "session_expired", 401, Login, "The session has expired";
    /// Rows 3 and 9.
    SessionRevoked = "session_revoked", 401, Login, "The session was revoked";
    /// The token is good, but its user's role is not enough.
    InsufficientScope = "insufficient_scope", 403, None, "This is for administrators";
    /// A one-time code is wrong, used or expired.
    InvalidCode = "invalid_code", 403, None, "The code is wrong, was used already, or has expired";
    /// The request comes from a site that is not listed.
    CrossSite = "cross_site", 403, None, "Requests from this site are not accepted";
    /// There is no such path, or nothing the caller may see.
    NotFound = "not_found", 404, None, "There is nothing here";
    /// The path is there, for other methods.
    MethodNotAllowed = "method_not_allowed", 405, None, "This method is not for this path";
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout", 408, Retry, "The request took too long to arrive";
    /// There is a user of that name already.
    NameTaken = "name_taken", 409, None, "There is a user of that name already";
    /// Without this user nobody could administer the server.
    LastAdmin = "last_admin", 409, None, "The last administrator has to stay one";
    /// Row 8a.
    Superseded = "superseded", 409, Retry, "A newer request of this session was answered already";
    /// The body is larger than any request needs.
    BodyTooLarge = "body_too_large", 413, None, "The body is too large";
    /// The target is longer than any of ours.
    TargetTooLong = "target_too_long", 414, None, "The target is too long";
    /// The body is not JSON, going by its Content-Type.
    UnsupportedMediaType = "unsupported_media_type", 415, None, "The body has to be application/json";
    /// The request expects what the server does not do.
    ExpectationFailed = "expectation_failed", 417, None, "This expectation cannot be met";
    /// The new password does not meet the rules.
    WeakPassword = "weak_password", 422, None, "The new password is not accepted";
    /// Too many log-ins of this account or from this address have failed.
    Throttled = "throttled", 429, Wait, "Too many log-ins have failed";
    /// The head of the request is larger than any request needs.
    HeadTooLarge = "head_too_large", 431, None, "The header fields are too large";
    /// A bug of ours.
    Internal = "internal", 500, Retry, "The server made a mistake";
    /// The request is of a method or in a transfer coding that the server does not know.
    NotImplemented = "not_implemented", 501, None, "This is not spoken here";
    /// A queue is full.
    Busy = "busy", 503, Wait, "The server is busy";
    /// The server should not be sent requests now.
    NotReady = "not_ready", 503, Retry, "The server is not ready";
    /// The store has failed.
    Unavailable = "unavailable", 503, Retry, "The store is not available";
    /// The request is of another version of HTTP.
    UnsupportedVersion = "unsupported_version", 505, None, "This version of HTTP is not spoken here";
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Which refusal it is.
    pub code: Code,
    /// What was wrong with this request, for people. Never a secret, never an echo of the input.
    pub detail: Option<Cow<'static, str>>,
    /// What keeps a password from being accepted.
    pub reasons: Vec<Weakness>,
    /// The methods a path is for, when that is what is wrong.
    pub allow: Option<String>,
    /// How long to wait, in seconds, when that is more than a moment.
    pub wait_secs: Option<u64>,
    /// Whether the refresh cookie has to go: only when its session is really dead.
    pub clear_cookie: bool,
}

impl Problem {
    /// A problem with its detail.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..code.into() }
    }

    /// A malformed request.
    pub fn bad_request(detail: &'static str) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// Seconds for the `Retry-After` field, when the client is to wait.
    pub fn retry_after_secs(&self) -> Option<u64> {
        (self.code.action() == Action::Wait).then(|| self.wait_secs.unwrap_or(1))
    }

    /// The challenge of every 401, and of a 403 for want of a role (RFC 6750 §3): no error code when no credentials
    /// were sent.
    pub fn challenge(&self) -> Option<&'static str> {
        match self.code {
            Code::InvalidToken => Some(
                "Bearer realm=\"latchkey\", error=\"invalid_token\", \
                 error_description=\"the access token is expired, invalid, or of a session that is over\"",
            ),
            Code::InsufficientScope => Some("Bearer realm=\"latchkey\", error=\"insufficient_scope\""),
            code if code.status() == 401 => Some("Bearer realm=\"latchkey\""),
            _ => None,
        }
    }

    /// The document.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
            action: Action,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            reasons: Vec<&'static str>,
        }
        let document = Document {
            r#type: format!("urn:latchkey:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: self.detail.as_deref(),
            action: self.code.action(),
            request_id,
            reasons: self.reasons.iter().map(|reason| reason.code()).collect(),
        };
        serde_json::to_vec(&document).expect("a struct of strings and numbers serialises")
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self { code, detail: None, reasons: Vec::new(), allow: None, wait_secs: None, clear_cookie: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_401_has_a_challenge_and_of_the_others_only_the_want_of_a_role() {
        for &code in Code::ALL {
            let expected = code.status() == 401 || code == Code::InsufficientScope;
            assert_eq!(Problem::from(code).challenge().is_some(), expected, "{code:?}");
        }
    }

    #[test]
    fn codes_are_unique() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn a_document_holds_what_the_client_needs_and_no_more() {
        let document = Problem::from(Code::SessionEnded).to_json("42");
        let expected = r#"{"type":"urn:latchkey:session_ended","title":"The session has ended","status":401,"action":"login","request_id":"42"}"#;
        assert_eq!(String::from_utf8(document).unwrap(), expected);
    }
}
