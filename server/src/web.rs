//! The page: static files compiled into the binary, under a policy that lets nothing else in.

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::api::{Request, Response};
use crate::problem::Problem;

/// What the page may load: its own scripts, style and icon, and requests to this server. No inline script, no frame, no
/// form that leaves, and no text that becomes markup or script.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Bytes of a file's hash in its tag.
const TAG_LEN: usize = 12;

/// A file, and the tag by which a browser says which one it has (RFC 9110 §8.8.3).
pub(crate) struct File {
    media_type: &'static str,
    text: &'static str,
    tag: String,
}

impl File {
    fn new(media_type: &'static str, text: &'static str) -> Self {
        let hash = Sha256::digest(text);
        Self { media_type, text, tag: format!("\"{}\"", Base64UrlUnpadded::encode_string(&hash[..TAG_LEN])) }
    }

    /// The file, or that the one whose tag the request names is still the same.
    pub(crate) fn answer(&self, request: &Request<'_>) -> Result<Response, Problem> {
        let known = request.field("if-none-match")?;
        let response = if known.is_some_and(|known| self.is_among(known)) {
            Response::not_modified()
        } else {
            Response::asset(self.media_type, self.text)
        };
        Ok(response.with("ETag", self.tag.clone()))
    }

    /// Whether the value of an If-None-Match field names this file. A proxy that compresses makes a tag a weak one
    /// (RFC 9110 §13.1.2).
    fn is_among(&self, known: &str) -> bool {
        let is_this = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == self.tag;
        known.trim() == "*" || known.split(',').any(|tag| is_this(tag.trim()))
    }
}

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident = $media_type:literal, $path:literal;)*) => {
        $($(#[$doc])* pub(crate) static $name: LazyLock<File> =
            LazyLock::new(|| File::new($media_type, include_str!($path)));)*
    };
}

files! {
    PAGE = "text/html; charset=utf-8", "web/page.html";
    PAGE_SCRIPT = "text/javascript; charset=utf-8", "web/page.js";
    SESSION = "text/javascript; charset=utf-8", "web/session.js";
    DOM = "text/javascript; charset=utf-8", "web/dom.js";
    CYCLE = "text/javascript; charset=utf-8", "web/cycle.js";
    ACCOUNT = "text/javascript; charset=utf-8", "web/account.js";
    ADMINISTRATION = "text/javascript; charset=utf-8", "web/administration.js";
    PICTURE = "text/javascript; charset=utf-8", "web/picture.js";
    STYLE = "text/css; charset=utf-8", "web/style.css";
    ICON = "image/svg+xml", "web/icon.svg";
    /// What programs read: every endpoint, what it takes and what it answers.
    OPENAPI = "application/json", "web/openapi.json";
}

pub(crate) fn page(request: &Request<'_>) -> Result<Response, Problem> {
    Ok(PAGE
        .answer(request)?
        .with("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with("Cross-Origin-Opener-Policy", "same-origin")
        .with("Referrer-Policy", "no-referrer"))
}

/// A script of the page, by its path.
pub(crate) fn script(path: &str) -> Option<&'static File> {
    Some(match path {
        "/page.js" => &PAGE_SCRIPT,
        "/session.js" => &SESSION,
        "/dom.js" => &DOM,
        "/cycle.js" => &CYCLE,
        "/account.js" => &ACCOUNT,
        "/administration.js" => &ADMINISTRATION,
        "/picture.js" => &PICTURE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_tag_alone_in_a_list_weak_or_by_a_star() {
        let (tag, other) = (&STYLE.tag, &ICON.tag);
        for known in [tag.clone(), format!("\"x\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
            assert!(STYLE.is_among(&known), "{known}");
        }
        for unknown in [other.clone(), String::new(), tag.replace('"', ""), format!("w/{tag}")] {
            assert!(!STYLE.is_among(&unknown), "{unknown}");
        }
    }
}
