//! Many clients at once that do whatever HTTP allows and hang up in the middle, at an application whose routes answer what
//! no route should, behind a door that is too narrow for all: no answer reaches another client, or another request.
//!
//! `LATCHKEY_MIX_ANSWERS` says how many answers are looked at; `tests/mix` prints what they come to.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use latchkey_tests::http::{Request, connect, loopback};
use latchkey_tests::server::{Server, Setup, Tokens};
use socket2::Socket;

const ODD: &str = env!("CARGO_BIN_EXE_odd-routes");

const CLIENTS: u16 = 36;
/// Fewer than clients, so that some are always sent away.
const PLACES: usize = 34;
const USERS: u16 = 6;

fn answers_wanted() -> usize {
    std::env::var("LATCHKEY_MIX_ANSWERS").map_or(4000, |count| count.parse().unwrap())
}

/// Numbers that look random, the same ones for a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A request and what its answer has to be.
struct Asked {
    bytes: String,
    is_head: bool,
    expected: Expected,
}

enum Expected {
    /// This status, and a body that is or contains this.
    Body(u16, String),
    /// This status without content.
    None(u16),
}

/// One of the clients.
struct Client<'a> {
    server: &'a Server,
    number: u16,
    user: String,
    token: String,
    dice: Dice,
    asked: u64,
    resets: usize,
    cut_off: usize,
}

impl Client<'_> {
    /// A request that no other client sends, of one of many kinds.
    fn ask(&mut self) -> Asked {
        self.asked += 1;
        let mark = format!("c{}r{}", self.number, self.asked);
        let get = |path: &str| (format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), false);
        let echo = format!("/api/echo/{mark}");
        let body = |text: &str| Expected::Body(200, text.to_owned());
        let said = format!("echo {mark}");
        let ((bytes, is_head), expected) = match self.dice.roll(14) {
            0..=2 => (get(&echo), body(&said)),
            3 => ((format!("HEAD {echo} HTTP/1.1\r\nHost: a\r\n\r\n"), true), Expected::None(200)),
            4 | 5 => {
                let request = format!(
                    "GET /api/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
                    self.token
                );
                ((request, false), body(&format!("\"name\":\"{}\"", self.user)))
            }
            6 => (get("/api/odd/204"), Expected::None(204)),
            7 => (get("/api/odd/304"), Expected::None(304)),
            8 => (get("/api/odd/101"), Expected::Body(500, "urn:latchkey:internal".to_owned())),
            9 => {
                let path = format!("/api/field/{}", self.dice.roll(12));
                (get(&path), Expected::Body(500, "urn:latchkey:internal".to_owned()))
            }
            10 => {
                let request = format!(
                    "POST {echo} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                );
                ((request, false), body(&said))
            }
            11 => {
                let request = format!("POST {echo} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n");
                ((request, false), body(&said))
            }
            12 => {
                let request = "POST /api/auth/logout HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
                ((request.to_owned(), false), Expected::None(204))
            }
            _ => (get("/api/large/20000"), body(&"x".repeat(20_000))),
        };
        Asked { bytes, is_head, expected }
    }

    /// Connects, asks for a while, and hangs up in one of many ways; counts the answers that were looked at.
    fn visit(&mut self, looked_at: &AtomicUsize) -> io::Result<()> {
        // Two clients an address, as behind one router.
        let mut stream = connect(loopback(70, self.number / 2), self.server.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = Reader { stream: stream.try_clone()?, bytes: Vec::new() };
        for _ in 0..1 + self.dice.roll(6) {
            let asked: VecDeque<_> = (0..1 + self.dice.roll(8)).map(|_| self.ask()).collect();
            let bytes: String = asked.iter().map(|asked| &*asked.bytes).collect();
            match self.dice.roll(20) {
                0 => {
                    // In the middle of a request, or of all of them.
                    let part = self.dice.roll(bytes.len() as u64) as usize;
                    stream.write_all(&bytes.as_bytes()[..part])?;
                    self.resets += 1;
                    return Socket::from(stream).set_linger(Some(Duration::ZERO));
                }
                1 => {
                    stream.write_all(bytes.as_bytes())?;
                    self.resets += 1;
                    return Socket::from(stream).set_linger(Some(Duration::ZERO));
                }
                2 => {
                    stream.write_all(bytes.as_bytes())?;
                    stream.shutdown(Shutdown::Write)?;
                    self.look_at(&mut reader, asked, looked_at)?;
                    return Ok(());
                }
                _ => stream.write_all(bytes.as_bytes())?,
            }
            self.look_at(&mut reader, asked, looked_at)?;
        }
        Ok(())
    }

    fn look_at(
        &self,
        reader: &mut Reader,
        asked: VecDeque<Asked>,
        looked_at: &AtomicUsize,
    ) -> io::Result<()> {
        for Asked { bytes, is_head, expected } in asked {
            let (status, body) = reader.answer(is_head)?;
            let is_right = match &expected {
                Expected::Body(expected, text) if status == *expected => body.contains(text.as_str()),
                Expected::None(expected) => status == *expected && body.is_empty(),
                Expected::Body(..) => false,
            };
            // The one refusal that everybody has to expect here, whatever they ask: the door is narrow.
            if status == 503 && (is_head || body.contains("too many connections")) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let body: String = body.chars().take(200).collect();
            assert!(is_right, "client {} got {status} {body:?} for {bytes:?}", self.number);
            looked_at.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Reads answers as RFC 9112 has them.
struct Reader {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Reader {
    fn answer(&mut self, is_to_head: bool) -> io::Result<(u16, String)> {
        let head_len = loop {
            match self.bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.fill()?,
            }
        };
        let head = str::from_utf8(&self.bytes[..head_len]).expect("a head is ASCII").to_owned();
        assert!(head.starts_with("HTTP/1.1 "), "{head:?} begins no answer");
        let status = head[9..12].parse().expect("a status has three digits");
        let length = head.split_once("\r\nContent-Length: ").map(|(_, rest)| rest.split("\r\n").next());
        let length: usize =
            length.flatten().map_or(0, |length| length.parse().expect("a length is a number"));
        let len = head_len + if is_to_head || matches!(status, 204 | 304) { 0 } else { length };
        while self.bytes.len() < len {
            self.fill()?;
        }
        let body = String::from_utf8_lossy(&self.bytes[head_len..len]).into_owned();
        self.bytes.drain(..len);
        Ok((status, body))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut room = [0; 8192];
        match self.stream.read(&mut room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.bytes.extend_from_slice(&room[..len]);
                Ok(())
            }
        }
    }
}

#[test]
fn no_answer_reaches_another_client_or_another_request() {
    let server = Setup::new(ODD).with("ARGON2_PROFILE", "low-memory").with("MAX_CONNECTIONS", PLACES).start();
    let users: Vec<_> = (0..USERS).map(|number| format!("user-{number}")).collect();
    users.iter().for_each(|user| server.add_user(user));
    let tokens: Vec<Tokens> = users.iter().map(|user| server.login(user)).collect();
    let (looked_at, wanted) = (AtomicUsize::new(0), answers_wanted());
    let clients: Vec<_> = thread::scope(|scope| {
        let run = |number: u16| {
            let (server, looked_at) = (&server, &looked_at);
            let user = number as usize % users.len();
            let (user, token) = (users[user].clone(), tokens[user].access.clone());
            scope.spawn(move || {
                let dice = Dice(0x9e37_79b9_7f4a_7c15 ^ u64::from(number + 1));
                let mut client =
                    Client { server, number, user, token, dice, asked: 0, resets: 0, cut_off: 0 };
                while looked_at.load(Ordering::Relaxed) < wanted {
                    // Cut off, or not let in: the server may do that, as long as it is there.
                    if let Err(error) = client.visit(looked_at) {
                        assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused, "the server has ended");
                        client.cut_off += 1;
                    }
                }
                (client.asked, client.resets, client.cut_off)
            })
        };
        let threads: Vec<_> = (0..CLIENTS).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("no answer was wrong")).collect()
    });
    let sum = |part: fn(&(u64, usize, usize)) -> u64| clients.iter().map(part).sum::<u64>();
    let (asked, resets, cut_off) = (sum(|c| c.0), sum(|c| c.1 as u64), sum(|c| c.2 as u64));
    println!(
        "{CLIENTS} clients, {PLACES} places: {asked} requests, {} answers looked at, 0 of them wrong; {resets} resets by \
         clients, {cut_off} visits cut off or not let in",
        looked_at.load(Ordering::Relaxed)
    );
    assert!(resets > 0 && cut_off > 0, "this was too quiet");
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("the gate has failed"), "{log}");
    assert_eq!(server.send(Request::get("/healthz")).status, 200);
}
