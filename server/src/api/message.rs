//! Requests and responses as handlers see them, with the strictness that is the same for all of them.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};

/// Largest body of a request in bytes; ours are a few hundred.
pub const BODY_LEN_MAX: usize = 16 << 10;

/// The method of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// Any other, which no path is for: 405 where there is a path, never the 501 of RFC 9110 §15.6.2, because a status of
    /// 5xx tells whoever watches the server that something is wrong with it.
    Other,
}

impl Method {
    /// The method of this name, whose case matters (RFC 9110 §9.1).
    pub fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The method's name; that of `Other` is a word no request has.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "other",
        }
    }
}

/// A request, read whole.
pub struct Request<'a> {
    /// Names the request in the log and in a problem document.
    pub id: &'a str,
    /// The method.
    pub method: Method,
    /// The path of the target, without the query.
    pub path: &'a str,
    /// The query of the target, without the question mark; empty when there is none.
    pub query: &'a str,
    /// The fields, names in lower case.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body, at most [`BODY_LEN_MAX`] bytes.
    pub body: &'a [u8],
    /// Who sent it, seen through trusted proxies.
    pub client: IpAddr,
    /// Whether a proxy, trusted or not, passed it on.
    pub is_forwarded: bool,
}

/// What a request carries is secret: cookies, tokens, passwords.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {} {})", self.id, self.method, self.path)
    }
}

impl<'a> Request<'a> {
    /// The value of a field.
    ///
    /// # Errors
    /// 400 when it is there twice: what a proxy in front of us made of the other one cannot be known.
    pub fn field(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::bad_request("a header field is there twice")),
            (value, None) => Ok(value),
        }
    }

    /// Every value of a field that may be there more than once.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| *field == name).map(|(_, value)| *value)
    }

    /// Whether a browser sent it: only browsers send Origin or Sec-Fetch-Site, and always one of them with a POST. Other
    /// fields of the kind say nothing: the `fetch` of Node sends Sec-Fetch-Mode.
    pub fn is_from_browser(&self) -> bool {
        self.fields.iter().any(|(name, _)| ["origin", "sec-fetch-site"].contains(name))
    }

    /// The segment of the path behind so many slashes, the first of which is behind one.
    pub fn segment(&self, number: usize) -> &'a str {
        self.path.split('/').nth(number).unwrap_or_default()
    }

    /// The parameters of the query, decoded, in the order of `names`.
    ///
    /// # Errors
    /// 400 when there is one that is not among them, or one is there twice.
    pub fn parameters<const N: usize>(&self, names: [&str; N]) -> Result<[Option<Cow<'a, str>>; N], Problem> {
        let mut values = [const { None }; N];
        for (name, value) in form_urlencoded::parse(self.query.as_bytes()) {
            let place = names.iter().position(|known| *known == name);
            let place =
                place.ok_or(Problem::bad_request("the query has a parameter that is not known here"))?;
            if values[place].replace(value).is_some() {
                return Err(Problem::bad_request("a parameter of the query is there twice"));
            }
        }
        Ok(values)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 415 when its type is another, 400 when it is not the JSON expected. Neither echoes what was sent.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let content_type = self.field("content-type")?.unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Code::UnsupportedMediaType.into());
        }
        // serde reads an array as a struct, member by member.
        if self.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(Problem::bad_request("the JSON body has to be an object"));
        }
        serde_json::from_slice(self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = if error.is_data() {
                "a member of the JSON body is missing, unknown, doubled or of the wrong type"
            } else {
                "the body is not JSON"
            };
            Problem::new(Code::BadRequest, format!("{what}, at line {line} column {column}"))
        })
    }
}

/// A response, whole.
#[derive(Clone)]
pub struct Response {
    /// The status code, of a final answer: 200 to 599.
    pub status: u16,
    /// The fields, each value one line of ASCII. Those that say where the answer ends or what becomes of the connection
    /// are the server's: a response with one of them, such as Content-Length, is answered 500 and told to the log.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The body, of at most [`ANSWER_LEN_MAX`](crate::gate::answer::ANSWER_LEN_MAX) bytes with the fields. Of a 204, 205 or
    /// 304, which have none, it is left out.
    pub body: Cow<'static, [u8]>,
}

/// What a response carries is secret: it hands out tokens.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({})", self.status)
    }
}

impl Response {
    /// 200 with a JSON body that is nobody's to keep.
    pub fn json(body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("our own structs serialise");
        let mut response = Self::with_body(200, "application/json", body.into());
        response.set("Cache-Control", "no-store");
        response
    }

    /// The same for something that was made: 201.
    pub fn created(body: &impl Serialize) -> Self {
        Self { status: 201, ..Self::json(body) }
    }

    /// 204.
    pub fn no_content() -> Self {
        let fields = vec![("Cache-Control", Cow::Borrowed("no-store"))];
        Self { status: 204, fields, body: Cow::Borrowed(b"") }
    }

    /// 200 with plain text.
    pub fn text(body: impl Into<Cow<'static, str>>) -> Self {
        Self::text_of("text/plain; charset=utf-8", body)
    }

    /// 200 with plain text of a format of its own.
    pub fn text_of(media_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        let body = match body.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        let mut response = Self::with_body(200, media_type, body);
        response.set("Cache-Control", "no-store");
        response
    }

    /// 200 with a file of the page, to be kept and asked for again with its tag.
    pub fn asset(media_type: &'static str, body: &'static str) -> Self {
        Self::with_body(200, media_type, Cow::Borrowed(body.as_bytes())).with("Cache-Control", "no-cache")
    }

    /// 304, for whoever has the file already.
    pub fn not_modified() -> Self {
        let fields = vec![("Cache-Control", Cow::Borrowed("no-cache"))];
        Self { status: 304, fields, body: Cow::Borrowed(b"") }
    }

    /// A refusal.
    pub fn problem(problem: &Problem, request_id: &str) -> Self {
        let body = problem.to_json(request_id);
        let mut response = Self::with_body(problem.code.status(), "application/problem+json", body.into());
        response.set("Cache-Control", "no-store");
        if let Some(challenge) = problem.challenge() {
            response.set("WWW-Authenticate", challenge);
        }
        if let Some(secs) = problem.retry_after_secs() {
            response.set("Retry-After", secs.to_string());
        }
        if let Some(methods) = &problem.allow {
            response.set("Allow", methods.clone());
        }
        response
    }

    fn with_body(status: u16, media_type: &'static str, body: Cow<'static, [u8]>) -> Self {
        let fields = vec![
            ("Content-Type", Cow::Borrowed(media_type)),
            // A browser must never make a page of what is not meant as one.
            ("X-Content-Type-Options", Cow::Borrowed("nosniff")),
        ];
        Self { status, fields, body }
    }

    /// Adds a field.
    pub fn set(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.fields.push((name, value.into()));
    }

    /// Adds a field, for building in one expression.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.set(name, value);
        self
    }
}
