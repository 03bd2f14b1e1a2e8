//! The client on a microcontroller: the same rules, async, over `embassy-net`, in buffers of a fixed size.
//!
//! A [`Client`] belongs to one task and makes one connection a request. It needs a server by its address: **there is no
//! DNS and no TLS here**, so it belongs on a wire that you trust, or behind a tunnel or a gateway that speaks TLS for it.
//! Whoever can read that wire can read the tokens.
//!
//! What must survive a loss of power is handed to a [`GrantStore`]. Without one, `()`, a device signs in again after it.
//!
//! ```no_run
//! use latchkey_client::embassy::{Buffers, Client, Error};
//!
//! async fn report(stack: embassy_net::Stack<'_>, random: impl FnMut(&mut [u8; 16])) -> Result<(), Error> {
//!     let mut buffers = Buffers::new();
//!     let server = embassy_net::IpEndpoint::new(embassy_net::IpAddress::v4(192, 168, 1, 2), 8080);
//!     let mut client = Client::new(stack, server, "192.168.1.2:8080", &mut buffers, (), random);
//!     client.login("sensor", "correct horse battery staple").await?;
//!     loop {
//!         match client.get("/api/me").await {
//!             Ok(answer) => assert_eq!(answer.status, 200),
//!             Err(Error::SignedOut) => return Err(Error::SignedOut),
//!             Err(_) => {} // offline; the session is kept
//!         }
//!     }
//! }
//! ```

use core::fmt;

use embassy_net::tcp::TcpSocket;
use embassy_net::{IpEndpoint, Stack};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use zeroize::{Zeroize, Zeroizing};

use crate::http::{self, Answer, NotWritten, Parsed};
use crate::{
    Failure, Grant, Moment, Outcome, Prepared, RefreshToken, Request, RetryKey, Session, Step, Turn, Verdict,
};

/// The longest access token that is kept, in bytes.
pub const ACCESS_TOKEN_LEN_MAX: usize = 512;

/// The longest request and the longest answer, head and body, in bytes.
pub const MESSAGE_LEN_MAX: usize = 1280;

/// What TCP holds back in each direction, in bytes.
const WINDOW: usize = 512;

/// How long one attempt may take: see [`QUIET_SECS`](crate::QUIET_SECS).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where messages are written and read. Belongs in a static: it is larger than most stacks like.
pub struct Buffers {
    receive: [u8; WINDOW],
    send: [u8; WINDOW],
    message: [u8; MESSAGE_LEN_MAX],
    access_token: [u8; ACCESS_TOKEN_LEN_MAX],
}

/// Keeps a grant in flash, or wherever it survives a loss of power.
pub trait GrantStore {
    /// Keeps `grant`, or nothing any more. **When it returns, a loss of power brings back this grant or, if it failed,
    /// the one before.**
    ///
    /// # Errors
    /// [`Unsaved`] when it could not; then nothing is sent.
    fn save(&mut self, grant: Option<&Grant>) -> Result<(), Unsaved>;
}

/// The grant could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsaved;

/// Keeps nothing.
impl GrantStore for () {
    fn save(&mut self, _: Option<&Grant>) -> Result<(), Unsaved> {
        Ok(())
    }
}

/// Why there is no answer. Only [`SignedOut`](Self::SignedOut) means that somebody has to sign in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Offline: no answer, or none of the server's own. The session is kept.
    NoAnswer,
    /// There is no access token to be had now. The session is kept.
    Failed(Failure),
    /// There is no session.
    SignedOut,
    /// A log-in or a log-out was refused with this status.
    Refused(u16),
    /// The request does not fit the buffers, or no request can be like that.
    NotWritten(NotWritten),
    /// The grant of a log-in could not be kept.
    Unsaved,
}

/// What the authentication endpoints are asked.
#[derive(Clone, Copy)]
enum Question<'q> {
    LogIn { user: &'q str, password: &'q str },
    Refresh,
    LogOut,
}

/// A session with one server, for one task.
pub struct Client<'a, S, R> {
    stack: Stack<'a>,
    server: IpEndpoint,
    host: &'a str,
    buffers: &'a mut Buffers,
    access_token_len: usize,
    session: Session,
    grant: Option<Grant>,
    store: S,
    random: R,
    proactive: bool,
}

impl Buffers {
    /// Empty ones.
    pub const fn new() -> Self {
        Self {
            receive: [0; WINDOW],
            send: [0; WINDOW],
            message: [0; MESSAGE_LEN_MAX],
            access_token: [0; ACCESS_TOKEN_LEN_MAX],
        }
    }
}

impl Buffers {
    /// Messages of the authentication endpoints hold secrets.
    fn wipe(&mut self) {
        let Self { receive, send, message, .. } = self;
        for bytes in [&mut receive[..], send, message] {
            bytes.zeroize();
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.wipe();
        self.access_token.zeroize();
    }
}

impl Error {
    /// For who signs in or out it does not matter how the answer was lost.
    fn of_question(self) -> Self {
        if let Self::Failed(_) = self { Self::NoAnswer } else { self }
    }
}

impl<'a, S: GrantStore, R: FnMut(&mut [u8; 16])> Client<'a, S, R> {
    /// A client of the server at `server`, which is called `host` in requests. Nobody is signed in.
    ///
    /// `random` fills in bytes that nobody can foresee: they become retry keys.
    pub fn new(
        stack: Stack<'a>,
        server: IpEndpoint,
        host: &'a str,
        buffers: &'a mut Buffers,
        store: S,
        random: R,
    ) -> Self {
        let session = Session::signed_out();
        Self {
            stack,
            server,
            host,
            buffers,
            access_token_len: 0,
            session,
            grant: None,
            store,
            random,
            proactive: true,
        }
    }

    /// Refreshes on a 401 only, and not already when the access token is known to have expired.
    #[must_use]
    pub fn reactive(self) -> Self {
        Self { proactive: false, ..self }
    }

    /// Goes on with a grant that was kept before the power went.
    pub fn resume(&mut self, grant: Grant) {
        self.grant = Some(grant);
        self.session.resumed();
    }

    /// Whether there is a session.
    pub fn is_signed_in(&self) -> bool {
        self.session.is_signed_in()
    }

    /// The access token of now. It may have expired: what is sent with [`get`](Self::get) is refreshed.
    pub fn access_token(&self) -> &str {
        str::from_utf8(&self.buffers.access_token[..self.access_token_len]).unwrap_or_default()
    }

    /// Signs in.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NoAnswer`], [`Error::Unsaved`], and [`Error::NotWritten`] when name and password
    /// do not fit.
    pub async fn login(&mut self, user: &str, password: &str) -> Result<(), Error> {
        let sent_at = now();
        let len = self.ask(Question::LogIn { user, password }).await.map_err(Error::of_question)?;
        let outcome = self.take_answer(len);
        let status = self.answer(len).map_or(0, |answer| answer.status);
        self.buffers.wipe();
        let (token, expires_in_secs) = match outcome {
            Outcome::Renewed { token, expires_in_secs } => (token, expires_in_secs),
            Outcome::Failed(Failure::Foreign { .. }) => return Err(Error::NoAnswer),
            _ => return Err(Error::Refused(status)),
        };
        let grant = Grant::new(token);
        self.store.save(Some(&grant)).map_err(|Unsaved| Error::Unsaved)?;
        self.grant = Some(grant);
        self.session.signed_in(expires_in_secs, sent_at);
        Ok(())
    }

    /// Asks for `path`, and returns the answer whatever its status.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&mut self, path: &str) -> Result<Answer<'_>, Error> {
        self.request("GET", path, None).await
    }

    /// Posts `body`, of the media type `content_type`. After a 401 it is sent again: the server has not acted on it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer<'_>, Error> {
        self.request("POST", path, Some((content_type, body))).await
    }

    /// Signs out, at the server and here.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] or [`Error::Refused`]; then the session is kept.
    pub async fn logout(&mut self) -> Result<(), Error> {
        if self.grant.is_none() {
            return Ok(());
        }
        let len = self.ask(Question::LogOut).await.map_err(Error::of_question)?;
        let status = self.answer(len).map_or(0, |answer| answer.status);
        self.buffers.wipe();
        if status != 204 {
            return Err(Error::Refused(status));
        }
        self.forget();
        Ok(())
    }

    async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer<'_>, Error> {
        let mut request = Request::new();
        loop {
            match self.session.next(&mut request, now()) {
                Step::Send => {
                    let len = self.write(method, path, body)?;
                    let len = self.exchange(len).await.map_err(|_| Error::NoAnswer)?;
                    let answer = self.answer(len).ok_or(Error::NoAnswer)?;
                    let advice = answer.problem().and_then(|problem| problem.advice);
                    if request.answered(answer.status, advice) == Verdict::Return {
                        return self.answer(len).ok_or(Error::NoAnswer);
                    }
                }
                Step::Refresh(turn) => self.refresh(turn).await,
                Step::Join(until) | Step::Wait(until) => {
                    Timer::at(Instant::from_millis(until.as_millis())).await;
                }
                Step::Failed(failure) => return Err(Error::Failed(failure)),
                Step::SignedOut => return Err(Error::SignedOut),
            }
        }
    }

    async fn refresh(&mut self, turn: Turn) {
        let Some(grant) = &mut self.grant else { return self.session.sign_out() };
        let mut random = Zeroizing::new([0; 16]);
        (self.random)(&mut random);
        let prepared = grant.prepare(RetryKey::from_random(*random), now());
        let saved = self.store.save(Some(grant));
        if let Prepared::Wait(until) = prepared {
            return self.session.postponed(turn, until);
        }
        let sent_at = now();
        let outcome = match saved {
            Ok(()) => match self.ask(Question::Refresh).await {
                Ok(len) => self.take_answer(len),
                Err(Error::Failed(failure)) => Outcome::Failed(failure),
                Err(_) => Outcome::Failed(Failure::Refused),
            },
            Err(Unsaved) => Outcome::Failed(Failure::Unsaved),
        };
        self.buffers.wipe();
        if let Some(grant) = &mut self.grant {
            grant.finished(&outcome, now());
        }
        if matches!(outcome, Outcome::Ended) {
            self.forget();
        }
        // If that fails, what is kept is the token and the key that were sent, which bring the same child again.
        let _ = self.store.save(self.grant.as_ref());
        let _ = self.session.finished(turn, &outcome, sent_at, now());
    }

    /// Asks an authentication endpoint, and returns how long the answer is. **Then the buffers hold secrets.**
    async fn ask(&mut self, question: Question<'_>) -> Result<usize, Error> {
        let answer_len = match self.write_question(question) {
            Ok(len) => self.exchange(len).await.map_err(Error::Failed),
            Err(error) => Err(Error::NotWritten(error)),
        };
        if answer_len.is_err() {
            self.buffers.wipe();
        }
        answer_len
    }

    /// Writes what is asked into the message buffer, and returns its length.
    fn write_question(&mut self, question: Question<'_>) -> Result<usize, NotWritten> {
        let token = self.grant.as_ref().map_or("", |grant| grant.token().as_str());
        let token_member = [("{\"refresh_token\":\"", token)];
        let login_members;
        let (path, members) = match question {
            Question::LogIn { user, password } => {
                login_members = [
                    ("{\"username\":\"", user),
                    ("\",\"password\":\"", password),
                    ("\",\"delivery\":\"body", ""),
                ];
                ("/api/auth/login", &login_members[..])
            }
            Question::Refresh => ("/api/auth/refresh", &token_member[..]),
            Question::LogOut => ("/api/auth/logout", &token_member[..]),
        };
        let retry_key = match question {
            Question::Refresh => self.grant.as_ref().and_then(Grant::retry_key).map(RetryKey::as_str),
            _ => None,
        };
        // Nothing is being received now.
        let Buffers { receive, message, .. } = &mut *self.buffers;
        let body = write_json(receive, members).ok_or(NotWritten::TooLong)?;
        let request = http::Request { retry_key, ..http::Request::post(self.host, path, body) };
        request.write(message).map(<[u8]>::len)
    }

    /// Writes a request with the access token into the message buffer, and returns its length.
    fn write(&mut self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<usize, Error> {
        let Buffers { message, access_token, .. } = &mut *self.buffers;
        let access_token = str::from_utf8(&access_token[..self.access_token_len]).ok();
        let request = http::Request { method, host: self.host, path, access_token, retry_key: None, body };
        request.write(message).map(<[u8]>::len).map_err(Error::NotWritten)
    }

    /// Sends what is in the message buffer, and returns how long the answer is that has taken its place.
    async fn exchange(&mut self, len: usize) -> Result<usize, Failure> {
        let Buffers { receive, send, message, .. } = &mut *self.buffers;
        let mut socket = TcpSocket::new(self.stack, receive, send);
        let attempt = converse(&mut socket, self.server, message, len);
        // Nothing is closed: the socket goes, and the stack resets the connection when the other side next speaks, which
        // with `Connection: close` is at once.
        with_timeout(TIMEOUT, attempt).await.unwrap_or(Err(Failure::Lost))
    }

    fn answer(&self, len: usize) -> Option<Answer<'_>> {
        match Answer::parse(&self.buffers.message[..len]) {
            Ok(Parsed::Whole(answer)) => Some(answer),
            _ => None,
        }
    }

    /// What the answer to a log-in or a refresh means. An access token is kept.
    fn take_answer(&mut self, len: usize) -> Outcome {
        let Buffers { message, access_token, .. } = &mut *self.buffers;
        let Ok(Parsed::Whole(answer)) = Answer::parse(&message[..len]) else {
            return Outcome::Failed(Failure::Foreign { retry_after_secs: None });
        };
        let Some((access, token, expires_in_secs)) = tokens(&answer) else {
            return Outcome::of_refusal(answer.status, answer.problem().is_some(), answer.retry_after_secs);
        };
        access_token.zeroize();
        access_token[..access.len()].copy_from_slice(access.as_bytes());
        self.access_token_len = access.len();
        Outcome::Renewed { token, expires_in_secs: self.proactive.then_some(expires_in_secs) }
    }

    fn forget(&mut self) {
        self.session.sign_out();
        self.grant = None;
        self.access_token_len = 0;
        self.buffers.access_token.zeroize();
        // A store that cannot forget brings back a session that the server will refuse.
        let _ = self.store.save(None);
    }
}

async fn converse(
    socket: &mut TcpSocket<'_>,
    server: IpEndpoint,
    message: &mut [u8],
    len: usize,
) -> Result<usize, Failure> {
    socket.connect(server).await.map_err(|_| Failure::Unsent)?;
    let mut sent = 0;
    while sent < len {
        sent += socket.write(&message[sent..len]).await.map_err(|_| Failure::Lost)?;
    }
    let mut read = 0;
    loop {
        match Answer::parse(&message[..read]) {
            Ok(Parsed::Whole(_)) => return Ok(read),
            Ok(Parsed::Unfinished) if read < message.len() => {}
            _ => return Err(Failure::Foreign { retry_after_secs: None }),
        }
        match socket.read(&mut message[read..]).await {
            Ok(0) | Err(_) => return Err(Failure::Lost),
            Ok(len) => read += len,
        }
    }
}

/// The tokens of a 200, or `None` if it is not the server's: portals answer with 200, too.
fn tokens<'m>(answer: &Answer<'m>) -> Option<(&'m str, RefreshToken, u32)> {
    if answer.status != 200 || !answer.text("token_type")?.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let access = answer.text("access_token")?;
    let fits = (1..=ACCESS_TOKEN_LEN_MAX).contains(&access.len());
    let token = RefreshToken::parse(answer.text("refresh_token")?).ok()?;
    (fits && access.bytes().all(|byte| byte.is_ascii_graphic())).then_some(())?;
    Some((access, token, answer.number("expires_in")?))
}

/// Pairs of what is written as it stands and what is escaped, and `"}` at the end; `None` if that does not fit.
fn write_json<'b>(buffer: &'b mut [u8], members: &[(&str, &str)]) -> Option<&'b [u8]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        buffer.get_mut(len..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        len += bytes.len();
        Some(())
    };
    for (before, value) in members {
        put(before.as_bytes())?;
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => put(&[b'\\', byte])?,
                0..=0x1F => {
                    put(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), DIGITS[usize::from(byte & 15)]])?;
                }
                _ => put(&[byte])?,
            }
        }
    }
    put(b"\"}")?;
    buffer.get(..len)
}

fn now() -> Moment {
    Moment::from_millis(Instant::now().as_millis())
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffers(..)")
    }
}

impl<S, R> fmt::Debug for Client<'_, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.host)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer from the server"),
            Self::Failed(_) => f.write_str("the session could not be refreshed"),
            Self::SignedOut => f.write_str("not signed in"),
            Self::Refused(_) => f.write_str("refused by the server"),
            Self::NotWritten(error) => error.fmt(f),
            Self::Unsaved => f.write_str("the session could not be kept"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests;
