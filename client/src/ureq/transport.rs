//! One request and its answer, within limits of time and size.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use ::ureq::http::uri::Scheme;
use ::ureq::http::{self, HeaderMap, HeaderValue, Method, Uri, header};
use ::ureq::{Agent, Timeout};
use zeroize::Zeroizing;

use crate::ureq::{Error, Event, Origin, Response};

/// The longest answer to a request of the program's own, in bytes.
pub(super) const BODY_LEN_MAX: u64 = 1024 * 1024;

/// The longest answer of an authentication endpoint, in bytes: two tokens and a name need less than two
/// thousand.
const AUTH_BODY_LEN_MAX: u64 = 16 * 1024;

const USER_AGENT: &str = concat!("latchkey-client/", env!("CARGO_PKG_VERSION"));

pub(super) struct Transport {
    agent: Agent,
    trace: Option<Trace>,
}

pub(super) type Trace = Box<dyn Fn(&Event<'_>) + Send + Sync>;

pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) access_token: Option<&'a str>,
    pub(super) retry_key: Option<&'a str>,
    pub(super) body: Option<Body<'a>>,
    pub(super) answer_len_max: u64,
}

/// What a request carries.
#[derive(Clone)]
pub(super) struct Body<'a> {
    content_type: HeaderValue,
    bytes: &'a [u8],
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The request never left.
    Unsent(String),
    /// It left, or may have.
    Lost(String),
    /// There is one, but it is too long.
    TooLong,
}

impl<'a> Call<'a> {
    /// A POST to an authentication endpoint.
    pub(super) fn auth(origin: &Origin, path: &str, json: &'a [u8]) -> Result<Self, Error> {
        origin.check_reachable()?;
        Ok(Self {
            method: Method::POST,
            uri: origin.resolve(path)?,
            access_token: None,
            retry_key: None,
            body: Some(Body::json(json)),
            answer_len_max: AUTH_BODY_LEN_MAX,
        })
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(token) = self.access_token {
            let value = Zeroizing::new(format!("Bearer {token}"));
            headers.insert(header::AUTHORIZATION, secret(&value));
        }
        if let Some(key) = self.retry_key {
            headers.insert("idempotency-key", secret(key));
        }
        if let Some(body) = &self.body {
            headers.insert(header::CONTENT_TYPE, body.content_type.clone());
        }
        headers
    }
}

impl<'a> Body<'a> {
    pub(super) fn json(bytes: &'a [u8]) -> Self {
        Self { content_type: HeaderValue::from_static("application/json"), bytes }
    }

    /// `None` when the content type cannot stand in a header field.
    pub(super) fn of(content_type: &str, bytes: &'a [u8]) -> Option<Self> {
        let content_type = HeaderValue::from_str(content_type).ok().filter(|field| !field.is_empty())?;
        Some(Self { content_type, bytes })
    }
}

fn secret(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("tokens and keys were checked to be visible ASCII");
    value.set_sensitive(true);
    value
}

impl Transport {
    pub(super) fn new(timeout: Duration, trace: Option<Trace>) -> Self {
        let agent = Agent::config_builder()
            // A 401 is an answer, and a redirect is a refusal: following one would take the token elsewhere.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .user_agent(USER_AGENT)
            .build()
            .new_agent();
        Self { agent, trace }
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(trace) = &self.trace {
            trace(event);
        }
    }

    /// Tells what an answer says when that needs no words of its own.
    pub(super) fn tell_answer(&self, response: &Response) {
        let problem = response.problem();
        self.tell(&Event::Answer {
            status: response.status(),
            code: problem.as_ref().map(|problem| problem.code.as_str()),
            advice: problem.as_ref().and_then(|problem| problem.advice),
        });
    }

    pub(super) fn send(&self, call: &Call<'_>) -> Result<Response, NoAnswer> {
        self.tell(&Event::Request { method: call.method.as_str(), path: call.uri.path() });
        let answer = self.exchange(call).map_err(NoAnswer::of);
        if let Err(no_answer) = &answer {
            self.tell(&Event::NoAnswer { reason: &no_answer.to_string() });
        }
        answer
    }

    fn exchange(&self, call: &Call<'_>) -> Result<Response, ::ureq::Error> {
        let mut request = http::Request::new(());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.uri.clone();
        *request.headers_mut() = call.headers();
        if call.uri.scheme() != Some(&Scheme::HTTPS) {
            // Plain http is for this machine: a proxy from the environment would read the token.
            request = self.agent.configure_request(request).proxy(None).build();
        }
        let answer = match &call.body {
            Some(body) => self.agent.run(request.map(|()| body.bytes)),
            None => self.agent.run(request),
        }?;
        let (head, body) = answer.into_parts();
        let field = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        Ok(Response {
            status: head.status.as_u16(),
            content_type: field(header::CONTENT_TYPE).unwrap_or_default().to_owned(),
            retry_after_secs: field(header::RETRY_AFTER).and_then(|secs| secs.trim().parse().ok()),
            body: Zeroizing::new(body.into_with_config().limit(call.answer_len_max).read_to_vec()?),
        })
    }
}

impl NoAnswer {
    /// In doubt a request counts as lost: that costs a wait of some seconds, the opposite mistake could cost
    /// the session.
    fn of(error: ::ureq::Error) -> Self {
        use ::ureq::Error as E;
        let reason = error.to_string();
        match error {
            E::BodyExceedsLimit(_) | E::LargeResponseHeader(..) => Self::TooLong,
            E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => Self::Unsent(reason),
            E::Timeout(Timeout::Resolve | Timeout::Connect) => Self::Unsent(reason),
            E::Io(error) if error.kind() == ErrorKind::ConnectionRefused => Self::Unsent(reason),
            _ => Self::Lost(reason),
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(reason) | Self::Lost(reason) => f.write_str(reason),
            Self::TooLong => f.write_str("an answer that is too long"),
        }
    }
}

impl From<NoAnswer> for Error {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::Unsent(reason) | NoAnswer::Lost(reason) => Self::Network(reason),
            NoAnswer::TooLong => Self::TooLong,
        }
    }
}
