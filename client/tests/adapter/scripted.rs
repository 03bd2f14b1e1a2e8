//! A responder on loopback that says what a test wants said, and a clock that waits for nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use latchkey_client::{Clock, Moment};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// The field of that name, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The member of that name of a JSON body.
    pub(crate) fn member(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body[name].as_str().unwrap_or_default().to_owned()
    }
}

/// What happens to a request.
pub(crate) enum Reply {
    /// Status, further head lines, body.
    Answer(u16, &'static str, String),
    /// These bytes, then the end of the connection.
    Bytes(&'static str),
    /// The connection is closed without a word.
    Drop,
    /// Nothing is ever said.
    Silence,
}

/// A problem document of Latchkey.
pub(crate) fn problem(status: u16, code: &str, action: &str) -> Reply {
    let body =
        format!(r#"{{"type":"urn:latchkey:{code}","title":"x","status":{status},"action":"{action}"}}"#);
    Reply::Answer(status, "Content-Type: application/problem+json\r\n", body)
}

/// Any other answer of a server.
pub(crate) fn json(status: u16, body: &str) -> Reply {
    Reply::Answer(status, "Content-Type: application/json\r\n", body.to_owned())
}

/// The answer to a log-in or a refresh, with a refresh token of nothing but `letter`.
pub(crate) fn tokens(access_token: &str, letter: char, rotated: bool) -> Reply {
    let refresh_token = String::from(letter).repeat(72);
    json(
        200,
        &format!(
            r#"{{"access_token":"{access_token}","token_type":"Bearer","expires_in":600,"session":"handle",
                "user":{{"id":"1","name":"ada","role":"user"}},"rotated":{rotated},"refresh_token":"{refresh_token}"}}"#
        ),
    )
}

/// A server that answers every request as its function says.
pub(crate) struct Responder {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Responder {
    /// Begins to answer. The function gets the number of the request, from 0, and the request.
    pub(crate) fn start(reply: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (Arc::clone(&asked), Arc::new(reply));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
                thread::spawn(move || answer(connection.unwrap(), &log, &*reply));
            }
        });
        Self { url, asked }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked of one path.
    pub(crate) fn asked_of(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path == path).collect()
    }
}

fn answer(mut connection: TcpStream, log: &Mutex<Vec<Asked>>, reply: &dyn Fn(usize, &Asked) -> Reply) {
    let Some(asked) = read(&connection) else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    match reply(number, &asked) {
        Reply::Answer(status, head, body) => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}"
            );
            let _ = connection.write_all(answer.as_bytes());
        }
        Reply::Bytes(bytes) => drop(connection.write_all(bytes.as_bytes())),
        Reply::Drop => drop(connection.shutdown(Shutdown::Both)),
        // Ends when the client gives up and closes.
        Reply::Silence => drop(connection.read(&mut [0])),
    }
}

fn read(connection: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, path, headers, body: String::new() };
    let mut body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

/// A clock that jumps where others wait, and remembers for how long.
#[derive(Clone, Default)]
pub(crate) struct JumpingClock {
    millis: Arc<AtomicU64>,
    waits_secs: Arc<Mutex<Vec<u64>>>,
}

impl JumpingClock {
    pub(crate) fn advance_secs(&self, secs: u64) {
        self.millis.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    pub(crate) fn waits_secs(&self) -> Vec<u64> {
        self.waits_secs.lock().unwrap().clone()
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Moment {
        Moment::from_millis(self.millis.load(Ordering::SeqCst))
    }

    fn unix_secs(&self) -> u64 {
        self.now().as_millis() / 1000
    }

    fn wait_until(&self, moment: Moment) {
        let millis = moment.millis_left(self.now());
        self.waits_secs.lock().unwrap().push(millis.div_ceil(1000));
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}
