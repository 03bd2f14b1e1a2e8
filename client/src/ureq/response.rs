//! An answer, and the problem document it may hold (RFC 9457).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::Advice;
use crate::ureq::Error;

const PROBLEM_TYPE_PREFIX: &str = "urn:latchkey:";

/// Longer codes are not ours, and would not fit the line they are printed in.
const CODE_LEN_MAX: usize = 64;

/// An answer, read to its end.
#[derive(Clone)]
pub struct Response {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) retry_after_secs: Option<u32>,
    /// Overwritten when dropped: the answers of the authentication endpoints hold tokens.
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// What a problem document of Latchkey says to a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The end of its `type`, `urn:latchkey:CODE`: lower-case letters, digits and `_`.
    pub code: String,
    /// Its `action`, if it has one that is known.
    pub advice: Option<Advice>,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The media type, as sent; empty if none was.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// `Retry-After`, if it was sent in seconds.
    pub fn retry_after_secs(&self) -> Option<u32> {
        self.retry_after_secs
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when it is not the JSON of a `T`; a captive portal's page, for one.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Json(error.to_string()))
    }

    /// The problem document, if this is one and it is of Latchkey's making.
    pub fn problem(&self) -> Option<Problem> {
        Problem::read(&self.content_type, &self.body)
    }
}

impl Problem {
    /// Reads an answer's body, if it is of Latchkey's making going by its media type and its `type`.
    pub fn read(content_type: &str, body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            r#type: String,
            action: Option<String>,
        }
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        // serde would read an array as the document, member by member.
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        if !media_type.eq_ignore_ascii_case("application/problem+json") || !is_object {
            return None;
        }
        let document: Document = serde_json::from_slice(body).ok()?;
        let code = document.r#type.strip_prefix(PROBLEM_TYPE_PREFIX)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_code = !code.is_empty() && code.len() <= CODE_LEN_MAX && code.bytes().all(plain);
        is_code.then(|| Self {
            code: code.to_owned(),
            advice: document.action.as_deref().and_then(Advice::parse),
        })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(content_type: &str, body: &str) -> Response {
        Response {
            status: 401,
            content_type: content_type.into(),
            retry_after_secs: None,
            body: Zeroizing::new(body.into()),
        }
    }

    #[test]
    fn a_problem_document_of_ours_has_a_code_and_advice() {
        let body = r#"{"type":"urn:latchkey:invalid_token","title":"x","status":401,"action":"refresh"}"#;
        let expected = Problem { code: "invalid_token".into(), advice: Some(Advice::Refresh) };
        for content_type in ["application/problem+json", "Application/Problem+JSON; charset=utf-8"] {
            assert_eq!(response(content_type, body).problem().as_ref(), Some(&expected), "{content_type}");
        }
    }

    #[test]
    fn nothing_else_is_a_problem_document_of_ours() {
        let ours = r#"{"type":"urn:latchkey:invalid_token"}"#;
        assert!(response("application/problem+json", ours).problem().is_some());
        for (content_type, body) in [
            ("application/json", ours),
            ("text/html", ours),
            ("", ours),
            ("application/problem+json", r#"{"type":"about:blank","status":401}"#),
            ("application/problem+json", r#"{"type":"https://example/urn:latchkey:invalid_token"}"#),
            ("application/problem+json", r#"{"type":"urn:latchkey:"}"#),
            ("application/problem+json", r#"{"type":"urn:latchkey:a\u001b[31m"}"#),
            ("application/problem+json", r#"{"title":"urn:latchkey:invalid_token"}"#),
            ("application/problem+json", r#"["urn:latchkey:invalid_token", "refresh"]"#),
            ("application/problem+json", "<html>"),
            ("application/problem+json", ""),
        ] {
            assert_eq!(response(content_type, body).problem(), None, "{content_type} {body}");
        }
    }

    #[test]
    fn unknown_advice_is_no_advice() {
        let body = r#"{"type":"urn:latchkey:x","action":"dance"}"#;
        assert_eq!(response("application/problem+json", body).problem().unwrap().advice, None);
    }

    #[test]
    fn the_body_is_not_printed() {
        assert!(!format!("{:?}", response("text/plain", "secret")).contains("secret"));
    }
}
