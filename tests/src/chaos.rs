//! A network that does its worst, by a seed: a proxy between a client and a real server, and a clock that both share.
//!
//! Nothing waits. Where the client would, the clock jumps, and what the network still holds is delivered on the way. A
//! request lives as long as the protocol says: a client gives up after 10 s, and a server may meet what it sent for 5 s
//! more. Access tokens grow old by the same clock: the proxy spoils one that has lived its 600 s, and the server refuses
//! it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use latchkey_client::{Clock, Moment};

/// How long a client waits for an answer, and how long after its sending a request may still arrive, in milliseconds.
const GIVES_UP_MILLIS: u64 = 10_000;
const ARRIVES_MILLIS: u64 = 15_000;

/// How long an access token is good: what the server says by default.
const ACCESS_TTL_MILLIS: u64 = 600_000;

/// Where the wall clock begins.
const UNIX_SECS: u64 = 1_800_000_000;

/// Pseudorandom numbers that a seed repeats (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % limit
    }
}

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    DropRequest,
    DropAnswer,
    /// The answer comes, but late.
    Delay,
    /// The client gives up first; the request arrives all the same.
    HoldRequest,
    /// It arrives twice at once.
    Duplicate,
    /// It is answered, and arrives once more later.
    LateDuplicate,
    /// The answer is lost, and the request arrives once more later.
    LostAndDuplicate,
    TruncateAnswer,
    BadGateway,
    /// After the server has acted.
    BadGatewayAfter,
    Portal,
    PortalAfter,
    /// A proxy on the way wants to know who we are.
    Stranger401,
}

const FAULTS: [Fault; 13] = [
    Fault::DropRequest,
    Fault::DropAnswer,
    Fault::Delay,
    Fault::HoldRequest,
    Fault::Duplicate,
    Fault::LateDuplicate,
    Fault::LostAndDuplicate,
    Fault::TruncateAnswer,
    Fault::BadGateway,
    Fault::BadGatewayAfter,
    Fault::Portal,
    Fault::PortalAfter,
    Fault::Stranger401,
];

/// Of a hundred requests so many meet a fault.
const FAULTS_PERCENT: u64 = 40;

/// The network, and the clock. Clones are the same one.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

struct State {
    server: SocketAddr,
    millis: u64,
    random: Random,
    is_bad: bool,
    keeps_retry_keys: bool,
    held: Vec<(u64, Sent)>,
    /// When each access token was handed out.
    born: HashMap<String, u64>,
    /// The child of each refresh token.
    children: HashMap<String, String>,
    effects: HashMap<String, u32>,
    two_children: usize,
    faults: usize,
}

/// A request, whole.
#[derive(Clone)]
struct Sent {
    method: String,
    path: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Network {
    /// A network before `server`, and the address at which it takes requests.
    pub fn start(server: SocketAddr, seed: u64) -> (Self, SocketAddr) {
        let network = Self(Arc::new(Mutex::new(State {
            server,
            millis: 0,
            random: Random::new(seed ^ 0xC4A0_5000),
            is_bad: false,
            keeps_retry_keys: true,
            held: Vec::new(),
            born: HashMap::new(),
            children: HashMap::new(),
            effects: HashMap::new(),
            two_children: 0,
            faults: 0,
        })));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = network.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                proxy.attend(connection.unwrap());
            }
        });
        (network, address)
    }

    /// From now on the network is bad, or good again.
    pub fn set_bad(&self, is_bad: bool) {
        self.state().is_bad = is_bad;
    }

    /// Takes the retry key off every request: what the protocol would be without it.
    pub fn take_off_retry_keys(&self) {
        self.state().keeps_retry_keys = false;
    }

    /// Lets time pass.
    pub fn advance_millis(&self, millis: u64) {
        let mut state = self.state();
        let until = state.millis + millis;
        state.advance_to(until);
    }

    /// How often `/effects/NAME` was acted upon.
    pub fn effects_of(&self, name: &str) -> u32 {
        self.state().effects.get(name).copied().unwrap_or_default()
    }

    /// How many effects happened more than once, and how many refresh tokens were given two different children.
    pub fn doubled(&self) -> (usize, usize) {
        let state = self.state();
        (state.effects.values().filter(|count| **count > 1).count(), state.two_children)
    }

    /// How many requests met a fault.
    pub fn faults(&self) -> usize {
        self.state().faults
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn attend(&self, mut connection: TcpStream) {
        if let Some(sent) = Sent::read(&connection)
            && let Some(answer) = self.state().carry(sent)
        {
            // The client may have given up, which is its right.
            let _ = connection.write_all(&answer);
        }
    }
}

impl Clock for Network {
    fn now(&self) -> Moment {
        Moment::from_millis(self.state().millis)
    }

    fn unix_secs(&self) -> u64 {
        UNIX_SECS + self.state().millis / 1000
    }

    fn wait_until(&self, moment: Moment) {
        self.state().advance_to(moment.as_millis());
    }
}

impl State {
    /// Moves the clock on, and delivers what is due on the way.
    fn advance_to(&mut self, until: u64) {
        loop {
            let next = (0..self.held.len()).min_by_key(|&index| self.held[index].0);
            match next {
                Some(index) if self.held[index].0 <= until => {
                    let (due, sent) = self.held.swap_remove(index);
                    self.millis = self.millis.max(due);
                    self.deliver(&sent);
                }
                _ => break,
            }
        }
        self.millis = self.millis.max(until);
    }

    /// What becomes of a request: an answer, or the end of the connection.
    fn carry(&mut self, sent: Sent) -> Option<Vec<u8>> {
        if !self.is_bad || self.random.below(100) >= FAULTS_PERCENT {
            return Some(self.deliver(&sent));
        }
        self.faults += 1;
        let fault = FAULTS[self.random.below(FAULTS.len() as u64) as usize];
        match fault {
            Fault::DropRequest => None,
            Fault::Delay => {
                let answer = self.deliver(&sent);
                let late = self.millis + self.random.below(GIVES_UP_MILLIS);
                self.advance_to(late);
                Some(answer)
            }
            Fault::HoldRequest => {
                self.hold(sent);
                let gives_up = self.millis + GIVES_UP_MILLIS;
                self.advance_to(gives_up);
                None
            }
            // A network may repeat what a server must bear to see twice; a POST of the program's own it must not.
            Fault::Duplicate | Fault::LateDuplicate | Fault::LostAndDuplicate if sent.has_effect() => {
                Some(self.deliver(&sent))
            }
            Fault::Duplicate => {
                self.deliver(&sent);
                Some(self.deliver(&sent))
            }
            Fault::LateDuplicate => {
                self.hold(sent.clone());
                Some(self.deliver(&sent))
            }
            Fault::LostAndDuplicate => {
                self.deliver(&sent);
                self.hold(sent);
                None
            }
            Fault::DropAnswer => {
                self.deliver(&sent);
                None
            }
            Fault::TruncateAnswer => {
                let mut answer = self.deliver(&sent);
                let len = 1 + self.random.below(answer.len() as u64 - 1) as usize;
                answer.truncate(len);
                Some(answer)
            }
            Fault::BadGateway => Some(page("502 Bad Gateway")),
            Fault::BadGatewayAfter => {
                self.deliver(&sent);
                Some(page("502 Bad Gateway"))
            }
            Fault::Portal => Some(page("200 OK")),
            Fault::PortalAfter => {
                self.deliver(&sent);
                Some(page("200 OK"))
            }
            Fault::Stranger401 => Some(page("401 Unauthorized")),
        }
    }

    /// Delivers a request at some time while it lives.
    fn hold(&mut self, sent: Sent) {
        let due = self.millis + 1 + self.random.below(ARRIVES_MILLIS);
        self.held.push((due, sent));
    }

    /// Brings a request to the server, or to the resource that asks the server who is asking.
    fn deliver(&mut self, sent: &Sent) -> Vec<u8> {
        let mut sent = sent.clone();
        sent.fields.retain(|(name, _)| self.keeps_retry_keys || name != "idempotency-key");
        self.spoil_what_has_expired(&mut sent);
        if let Some(name) = sent.path.strip_prefix("/effects/") {
            let asker =
                Sent { method: "GET".into(), path: "/api/me".into(), body: String::new(), ..sent.clone() };
            let answer = asker.exchange(self.server);
            if !answer.starts_with(b"HTTP/1.1 200 ") {
                return answer;
            }
            *self.effects.entry(name.to_owned()).or_default() += 1;
            return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone".to_vec();
        }
        let answer = sent.exchange(self.server);
        self.note_tokens(&sent, &answer);
        answer
    }

    fn spoil_what_has_expired(&self, sent: &mut Sent) {
        for (name, value) in &mut sent.fields {
            let Some(token) = value.strip_prefix("Bearer ").filter(|_| name == "authorization") else {
                continue;
            };
            let age = self.born.get(token).map(|born| self.millis - born);
            if age.is_some_and(|age| age >= ACCESS_TTL_MILLIS) {
                value.push('x');
            }
        }
    }

    fn note_tokens(&mut self, sent: &Sent, answer: &[u8]) {
        let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|end| &answer[end + 4..]);
        let member = |bytes: &[u8], name: &str| {
            let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            Some(document[name].as_str()?.to_owned())
        };
        let Some(body) = body.filter(|_| answer.starts_with(b"HTTP/1.1 200 ")) else { return };
        if let Some(access) = member(body, "access_token") {
            self.born.insert(access, self.millis);
        }
        if let (Some(parent), Some(child)) =
            (member(sent.body.as_bytes(), "refresh_token"), member(body, "refresh_token"))
            && self.children.insert(parent, child.clone()).is_some_and(|other| other != child)
        {
            self.two_children += 1;
        }
    }
}

impl Sent {
    fn read(connection: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut fields = Vec::new();
        let mut len = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
            if name == "content-length" {
                len = value.parse().ok()?;
            }
            fields.push((name, value));
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).ok()?;
        Some(Self { method, path, fields, body: String::from_utf8(body).ok()? })
    }

    fn has_effect(&self) -> bool {
        self.path.starts_with("/effects/")
    }

    fn exchange(&self, server: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.path);
        let ours = |name: &str| !["connection", "content-length"].contains(&name);
        for (name, value) in self.fields.iter().filter(|(name, _)| ours(name)) {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        let mut connection = TcpStream::connect(server).unwrap();
        connection.write_all(format!("{head}\r\n{}", self.body).as_bytes()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        answer
    }
}

/// What somebody says who is not the server.
fn page(status: &str) -> Vec<u8> {
    let body = "<html><h1>Welcome to the hotel</h1></html>";
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {len}\r\n\r\n{body}")
        .into_bytes()
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}
