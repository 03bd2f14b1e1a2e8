//! The load: clients with one connection and one session each, all on one thread, so that the servers get the rest.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Deserialize;
use serde_json::json;

use crate::Failure;

/// A server that takes longer than this for one answer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Room for one answer, of which both servers make about a kibibyte.
const ANSWER_LEN_MAX: usize = 4096;

/// What the clients ask for, over and over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// `GET /api/me` with an access token.
    Me,
    /// A refresh, which rotates the token.
    Refresh,
    /// A log-in with the right password.
    LogIn,
}

impl Workload {
    pub(crate) const ALL: [Self; 3] = [Self::Me, Self::Refresh, Self::LogIn];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Me => "GET /api/me",
            Self::Refresh => "refresh",
            Self::LogIn => "log-in",
        }
    }
}

/// A session a client works with: where, whose, and its newest tokens.
#[derive(Clone)]
pub(crate) struct Session {
    server: SocketAddr,
    credentials: String,
    access_token: String,
    refresh_token: String,
}

impl Session {
    /// Signs in.
    pub(crate) fn open(server: SocketAddr, user: &str, password: &str) -> Result<Self, Failure> {
        let body = json!({ "username": user, "password": password, "delivery": "body" });
        let mut session = Self {
            server,
            credentials: body.to_string(),
            access_token: String::new(),
            refresh_token: String::new(),
        };
        let mut stream = std::net::TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(session.request(Workload::LogIn).as_bytes())?;
        let (mut room, mut len) = ([0; ANSWER_LEN_MAX], 0);
        loop {
            match stream.read(&mut room[len..])? {
                0 => return Err("the server hung up on a log-in".into()),
                more => len += more,
            }
            if let Some(answer) = Answer::read(&room[..len])? {
                session.take(&answer, Workload::LogIn)?;
                return Ok(session);
            }
        }
    }

    fn request(&self, workload: Workload) -> String {
        let server = self.server;
        let post = |path: &str, body: &str| {
            let len = body.len();
            format!(
                "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\n\
                 Content-Length: {len}\r\n\r\n{body}"
            )
        };
        match workload {
            Workload::Me => {
                let token = &self.access_token;
                format!("GET /api/me HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\r\n")
            }
            Workload::Refresh => {
                post("/api/auth/refresh", &json!({ "refresh_token": self.refresh_token }).to_string())
            }
            Workload::LogIn => post("/api/auth/login", &self.credentials),
        }
    }

    /// Keeps the tokens of an answer.
    fn take(&mut self, answer: &Answer<'_>, workload: Workload) -> Result<(), Failure> {
        if workload == Workload::Me || answer.is_refusal {
            return Ok(());
        }
        let grant: Grant<'_> = serde_json::from_slice(answer.body)?;
        if grant.refresh_token == self.refresh_token {
            return Err("the server did not rotate the token".into());
        }
        grant.access_token.clone_into(&mut self.access_token);
        grant.refresh_token.clone_into(&mut self.refresh_token);
        Ok(())
    }
}

/// What a client wants to know of a whole answer.
struct Answer<'a> {
    body: &'a [u8],
    /// The server is too busy, which only a log-in may be told.
    is_refusal: bool,
    /// The server closes the connection after it.
    is_last: bool,
}

#[derive(Deserialize)]
struct Grant<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
}

impl<'a> Answer<'a> {
    /// `None` until the answer is whole.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Failure> {
        let Some(head_len) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, body) = (std::str::from_utf8(&bytes[..head_len])?, &bytes[head_len + 4..]);
        let field = |name: &str| {
            let named = head.lines().filter_map(|line| line.split_once(':'));
            named.clone().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let body_len: usize = field("content-length").ok_or("an answer without a length")?.parse()?;
        if body.len() < body_len {
            return Ok(None);
        }
        let is_refusal = head.starts_with("HTTP/1.1 503 ");
        if !is_refusal && !head.starts_with("HTTP/1.1 200 ") && !head.starts_with("HTTP/1.1 201 ") {
            return Err(format!("{head}\n\n{}", String::from_utf8_lossy(body)).into());
        }
        let is_last = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { body, is_refusal, is_last }))
    }
}

/// What the clients saw in one turn.
#[derive(Default)]
pub(crate) struct Seen {
    /// How long each answer took.
    pub(crate) latencies: Vec<Duration>,
    /// How many of them came before time was up.
    pub(crate) in_time: usize,
    /// Requests turned away, which count as neither.
    pub(crate) refused: usize,
}

/// Some clients of one server, with their connections.
pub(crate) struct Clients {
    clients: Vec<Client>,
    poll: Poll,
    events: Events,
}

impl Clients {
    /// Connects a client for each session, one after the other; each asks once before the next connects.
    pub(crate) fn connect(sessions: &[Session], workload: Workload) -> Result<Self, Failure> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(sessions.len());
        let mut clients = Vec::with_capacity(sessions.len());
        for (number, session) in sessions.iter().enumerate() {
            let mut client = Client::connect(session.clone(), workload, &poll, Token(number))?;
            client.ask()?;
            while client.hear()?.is_none() {
                wait(&mut poll, &mut events)?;
            }
            clients.push(client);
        }
        Ok(Self { clients, poll, events })
    }

    /// Every client asks, again as soon as it has its answer, until `duration` has passed and the last answer is in.
    pub(crate) fn ask_for(&mut self, duration: Duration) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        let end = Instant::now() + duration;
        for client in &mut self.clients {
            client.ask()?;
        }
        let mut waiting = self.clients.len();
        while waiting > 0 {
            wait(&mut self.poll, &mut self.events)?;
            for event in &self.events {
                let client = &mut self.clients[event.token().0];
                let Some(heard) = client.hear()? else { continue };
                let now = Instant::now();
                if heard.is_refusal {
                    seen.refused += 1;
                } else {
                    seen.latencies.push(now - client.asked);
                    seen.in_time += usize::from(now < end);
                }
                if heard.is_last {
                    *client =
                        Client::connect(client.session.clone(), client.workload, &self.poll, event.token())?;
                }
                if now < end {
                    client.ask()?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(seen)
    }

    /// The sessions with their newest tokens.
    pub(crate) fn into_sessions(self) -> Vec<Session> {
        self.clients.into_iter().map(|client| client.session).collect()
    }
}

fn wait(poll: &mut Poll, events: &mut Events) -> Result<(), Failure> {
    poll.poll(events, Some(PATIENCE))?;
    if events.is_empty() { Err("a server does not answer".into()) } else { Ok(()) }
}

/// What an answer means for the client that got it.
#[derive(Clone, Copy)]
struct Heard {
    is_refusal: bool,
    is_last: bool,
}

struct Client {
    session: Session,
    workload: Workload,
    stream: TcpStream,
    asked: Instant,
    answer: [u8; ANSWER_LEN_MAX],
    answer_len: usize,
}

impl Client {
    fn connect(session: Session, workload: Workload, poll: &Poll, token: Token) -> Result<Self, Failure> {
        let stream = std::net::TcpStream::connect(session.server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE)?;
        Ok(Self {
            session,
            workload,
            stream,
            asked: Instant::now(),
            answer: [0; ANSWER_LEN_MAX],
            answer_len: 0,
        })
    }

    /// Sends a request; it is so short that an idle connection takes it whole.
    fn ask(&mut self) -> Result<(), Failure> {
        self.asked = Instant::now();
        Ok(self.stream.write_all(self.session.request(self.workload).as_bytes())?)
    }

    /// Takes in what has arrived; with a whole answer, keeps its tokens and says what it means.
    fn hear(&mut self) -> Result<Option<Heard>, Failure> {
        loop {
            match self.stream.read(&mut self.answer[self.answer_len..]) {
                Ok(0) if self.answer_len == 0 => return Err("the server hung up".into()),
                Ok(0) => break,
                Ok(more) => self.answer_len += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(answer) = Answer::read(&self.answer[..self.answer_len])? else { return Ok(None) };
        if answer.is_refusal && self.workload != Workload::LogIn {
            return Err("the server was too busy".into());
        }
        let heard = Heard { is_refusal: answer.is_refusal, is_last: answer.is_last };
        self.session.take(&answer, self.workload)?;
        self.answer_len = 0;
        Ok(Some(heard))
    }
}
