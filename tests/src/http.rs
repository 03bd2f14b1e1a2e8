//! HTTP/1.1 by hand, one request a connection, so that a test decides about every byte.

use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::server::without_secrets;

/// A server that takes longer than this for one answer hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server that does not even accept for so long is deaf.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest answer in bytes, so that one without an end ends.
const ANSWER_LEN_MAX: u64 = 16 << 20;

/// Connects from an address of one's own choice, as long as it is one of this machine: all of 127.0.0.0/8 is.
pub fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if has_many_addresses(to) {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), CONNECT_TIMEOUT)?;
    Ok(socket.into())
}

/// Whether its clients can come from addresses of their own choice.
pub fn has_many_addresses(to: SocketAddr) -> bool {
    to.is_ipv4() && to.ip().is_loopback()
}

/// One of the 65,536 addresses that begin with 127 and `second`.
pub fn loopback(second: u8, number: u16) -> IpAddr {
    let [third, fourth] = number.to_be_bytes();
    Ipv4Addr::new(127, second, third, fourth).into()
}

/// Sends these bytes, says that no more come, and returns all that comes back.
pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // Less than an idle connection may stay: who has said that nothing more comes is not waited for.
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes.as_ref()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The statuses of answers that came one after another.
pub fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.match_indices("HTTP/1.1 ");
    lines.map(|(at, _)| answers[at + 9..at + 12].parse().unwrap()).collect()
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    body: Vec<u8>,
    from: Option<IpAddr>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\n"), body: Vec::new(), from: None }
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A POST.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// A log-in.
    pub fn login(name: &str, password: &str) -> Self {
        Self::post("/api/auth/login").json(&json!({"username": name, "password": password}))
    }

    /// A DELETE.
    pub fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    /// Adds a bearer token.
    #[must_use]
    pub fn bearer(self, access_token: &str) -> Self {
        self.field("Authorization", &format!("Bearer {access_token}"))
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Adds a body of any type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.field("Content-Type", content_type)
    }

    /// Lets it come from another address of this machine, when it gets a connection of its own.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Sends it and reads the whole answer.
    pub fn send(self, address: SocketAddr) -> Answer {
        self.try_send(address).unwrap()
    }

    /// Sends it to a server that may not be there, may go away before it has answered, or may be none of ours: then the
    /// error is [`io::ErrorKind::InvalidData`].
    pub fn try_send(self, address: SocketAddr) -> io::Result<Answer> {
        let mut stream = match self.from {
            Some(from) => connect(from, address)?,
            None => TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?,
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(&self.field("Connection", "close").to_bytes(address))?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_LEN_MAX).read_to_end(&mut bytes)?;
        let answer = Answer::parse(&bytes)?;
        let is_head_only = answer.body.is_empty();
        let is_whole = is_head_only || answer.content_length().is_none_or(|len| len == answer.body.len());
        if is_whole { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// The bytes that are sent, with the fields every request to `address` needs.
    pub fn to_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = self.head.clone();
        if !head.contains("\r\nHost:") {
            write!(head, "Host: {address}\r\n").unwrap();
        }
        if !head.contains("\r\nContent-Length:") && !head.contains("\r\nTransfer-Encoding:") {
            write!(head, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// A connection that is used again for the next request, and made anew when the server has ended it.
#[derive(Debug)]
pub struct Connection {
    from: IpAddr,
    to: SocketAddr,
    stream: Option<TcpStream>,
}

impl Connection {
    /// Will connect from one address to another.
    pub fn new(from: IpAddr, to: SocketAddr) -> Self {
        Self { from, to, stream: None }
    }

    /// Connects now, so that the next request does not have to.
    pub fn open(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = connect(self.from, self.to)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            self.stream = Some(stream);
        }
        Ok(self.stream.as_mut().expect("it was just made"))
    }

    /// Sends a request and reads its answer.
    pub fn send(&mut self, request: &Request) -> io::Result<Answer> {
        let bytes = request.to_bytes(self.to);
        let answer = self.open().and_then(|stream| {
            stream.write_all(&bytes)?;
            Answer::read(stream)
        });
        if !answer.as_ref().is_ok_and(|answer| answer.field("connection").is_none()) {
            self.stream = None;
        }
        answer
    }
}

/// An answer, read whole.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Tests and the attack kit print answers when something is wrong, and others read what they print.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, fields, body } = self;
        f.write_str(&without_secrets(&format!("{status} {fields:?} {body}")))
    }
}

impl Answer {
    /// Reads one answer and nothing after it; its request was no HEAD.
    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
        loop {
            match Self::parse(&bytes) {
                Ok(answer) if answer.body.len() >= answer.content_length().unwrap_or(0) => return Ok(answer),
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                _ => {}
            }
            match stream.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => bytes.extend_from_slice(&room[..len]),
            }
        }
    }

    /// Reads a head and whatever is there of a body.
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let start = b"HTTP/1.";
        if !bytes.starts_with(&start[..start.len().min(bytes.len())]) {
            return Err(not_ours("an answer is not HTTP/1.1"));
        }
        let text = str::from_utf8(bytes).map_err(|error| match error.error_len() {
            None => io::ErrorKind::UnexpectedEof.into(),
            Some(_) => not_ours("an answer is not UTF-8"),
        })?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| not_ours("an answer has no status"))?;
        let fields =
            lines.map(|line| line.split_once(':').ok_or_else(|| not_ours("a header field has no colon")));
        let fields = fields
            .map(|field| field.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())));
        Ok(Self { status, fields: fields.collect::<io::Result<_>>()?, body: body.to_owned() })
    }

    fn content_length(&self) -> Option<usize> {
        self.field("content-length")?.parse().ok()
    }

    /// A field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        self.try_json().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as JSON, if it is.
    pub fn try_json(&self) -> io::Result<Value> {
        serde_json::from_str(&self.body).map_err(|_| not_ours("an answer is not JSON"))
    }

    /// The value of the cookie that is set; empty when it is cleared.
    pub fn cookie_value(&self) -> Option<String> {
        let (_, value) = self.field("set-cookie")?.split(';').next()?.split_once('=')?;
        Some(value.to_owned())
    }

    /// Whether the refresh cookie is removed.
    pub fn clears_cookie(&self) -> bool {
        self.cookie_value().is_some_and(|value| value.is_empty())
            && self.field("set-cookie").is_some_and(|field| field.contains("Max-Age=0"))
    }

    /// Asserts that this is a complete problem document, and returns its code and action.
    pub fn problem(&self) -> (String, String) {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status, "{self:?}");
        let text = |name: &str| document[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(!text("title").is_empty() && !text("request_id").is_empty(), "{self:?}");
        let code = text("type").strip_prefix("urn:latchkey:").expect("a code of ours");
        (code.to_owned(), text("action").to_owned())
    }

    /// Asserts the status and the code of a refusal.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str, action: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.problem(), (code.to_owned(), action.to_owned()), "{self:?}");
        let is_challenged = status == 401 || code == "insufficient_scope";
        assert_eq!(self.field("www-authenticate").is_some(), is_challenged, "{self:?}");
    }

    /// Asserts that too many have failed, and that it says when to come back.
    #[track_caller]
    pub fn assert_throttled(&self) {
        self.assert_refused(429, "throttled", "wait");
        let secs = self.field("retry-after").and_then(|secs| secs.parse().ok());
        assert!(secs.is_some_and(|secs: u64| (1..=60).contains(&secs)), "{self:?}");
    }
}

/// What our server never answers. Only the reason is told: the answer may hold tokens.
fn not_ours(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
