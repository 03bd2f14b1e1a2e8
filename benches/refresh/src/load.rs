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

/// A session that is refreshed over and over: where, and its newest token.
#[derive(Clone)]
pub(crate) struct Session {
    server: SocketAddr,
    refresh_token: String,
}

impl Session {
    /// Signs in.
    pub(crate) fn open(server: SocketAddr, user: &str, password: &str) -> Result<Self, Failure> {
        let body = json!({ "username": user, "password": password, "delivery": "body" });
        let mut stream = std::net::TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request(server, "/api/auth/login", &body.to_string()).as_bytes())?;
        let (mut room, mut len) = ([0; ANSWER_LEN_MAX], 0);
        loop {
            match stream.read(&mut room[len..])? {
                0 => return Err("the server hung up on a log-in".into()),
                more => len += more,
            }
            if let Some(answer) = Answer::read(&room[..len])? {
                return Ok(Self { server, refresh_token: answer.refresh_token.to_owned() });
            }
        }
    }

    fn refresh_request(&self) -> String {
        let body = json!({ "refresh_token": self.refresh_token });
        request(self.server, "/api/auth/refresh", &body.to_string())
    }
}

fn request(server: SocketAddr, path: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

/// What a client wants to know of a whole answer.
struct Answer<'a> {
    refresh_token: &'a str,
    /// The server closes the connection after it.
    is_last: bool,
}

#[derive(Deserialize)]
struct Grant<'a> {
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
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{head}\n\n{}", String::from_utf8_lossy(body)).into());
        }
        let grant: Grant<'a> = serde_json::from_slice(body)?;
        let is_last = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { refresh_token: grant.refresh_token, is_last }))
    }
}

/// What the clients saw in one turn.
#[derive(Default)]
pub(crate) struct Seen {
    /// How long each answer took.
    pub(crate) latencies: Vec<Duration>,
    /// How many of them came before time was up.
    pub(crate) in_time: usize,
}

/// Some clients of one server, with their connections.
pub(crate) struct Clients {
    clients: Vec<Client>,
    poll: Poll,
    events: Events,
}

impl Clients {
    /// Connects a client for each session, one after the other, and each refreshes once before the next connects:
    /// tiny_http alone would put connections that come faster than its idle threads wake behind others, for good.
    pub(crate) fn connect(sessions: &[Session]) -> Result<Self, Failure> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(sessions.len());
        let mut clients = Vec::with_capacity(sessions.len());
        for (number, session) in sessions.iter().enumerate() {
            let mut client = Client::connect(session.clone(), &poll, Token(number))?;
            client.ask()?;
            while client.hear()?.is_none() {
                wait(&mut poll, &mut events)?;
            }
            clients.push(client);
        }
        Ok(Self { clients, poll, events })
    }

    /// Every client refreshes, again as soon as it has its answer, until `duration` has passed and the last answer
    /// is in.
    pub(crate) fn refresh_for(&mut self, duration: Duration) -> Result<Seen, Failure> {
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
                let Some(is_last) = client.hear()? else { continue };
                let now = Instant::now();
                seen.latencies.push(now - client.asked);
                seen.in_time += usize::from(now < end);
                if is_last {
                    *client = Client::connect(client.session.clone(), &self.poll, event.token())?;
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

struct Client {
    session: Session,
    stream: TcpStream,
    asked: Instant,
    answer: [u8; ANSWER_LEN_MAX],
    answer_len: usize,
}

impl Client {
    fn connect(session: Session, poll: &Poll, token: Token) -> Result<Self, Failure> {
        let stream = std::net::TcpStream::connect(session.server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE)?;
        Ok(Self { session, stream, asked: Instant::now(), answer: [0; ANSWER_LEN_MAX], answer_len: 0 })
    }

    /// Sends a refresh; it is so short that an idle connection takes it whole.
    fn ask(&mut self) -> Result<(), Failure> {
        self.asked = Instant::now();
        Ok(self.stream.write_all(self.session.refresh_request().as_bytes())?)
    }

    /// Takes in what has arrived; with a whole answer, keeps its token and says whether the connection ends.
    fn hear(&mut self) -> Result<Option<bool>, Failure> {
        loop {
            match self.stream.read(&mut self.answer[self.answer_len..]) {
                Ok(0) => return Err("the server hung up".into()),
                Ok(more) => self.answer_len += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(answer) = Answer::read(&self.answer[..self.answer_len])? else { return Ok(None) };
        if answer.refresh_token == self.session.refresh_token {
            return Err("the server did not rotate the token".into());
        }
        let is_last = answer.is_last;
        answer.refresh_token.clone_into(&mut self.session.refresh_token);
        self.answer_len = 0;
        Ok(Some(is_last))
    }
}
