//! Attacks on an HTTP server by its address, and what they do to a good client and to the process meanwhile.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::http::{connect, has_many_addresses, loopback};

/// Where attackers come from, and where the good client does.
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const GOOD_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// How long the good client waits for one answer before it counts as refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer than a request may take to arrive.
const SIEGE: Duration = Duration::from_secs(7);

/// The server under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process, when it is on this machine and may be looked at.
    pub pid: Option<u32>,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Whether it comes from many addresses: from one, which is the good client's too, it would only use that up.
    is_crowd: bool,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    /// What counts is what the good client and the process feel of it.
    Harm(fn(SocketAddr)),
    /// What counts besides is that nothing hidden in a body is answered.
    Smuggle(&'static [Hidden]),
}

const fn harm(name: &'static str, what: &'static str, run: fn(SocketAddr)) -> Attack {
    Attack { name, what, is_crowd: false, run: Run::Harm(run) }
}

const fn crowd(name: &'static str, what: &'static str, run: fn(SocketAddr)) -> Attack {
    Attack { is_crowd: true, ..harm(name, what, run) }
}

const fn smuggle(name: &'static str, what: &'static str, requests: &'static [Hidden]) -> Attack {
    Attack { name, what, is_crowd: false, run: Run::Smuggle(requests) }
}

/// Every attack, K1 to K6 of those that end a bare tiny_http server first.
pub const ATTACKS: &[Attack] = &[
    harm("huge_length", "K1: a body of a terabyte is announced", huge_length),
    harm("http_2", "K2: requests of HTTP/2.0", http_2),
    harm("descriptors", "K3: more idle connections than descriptors", idle_flood),
    harm("reset", "K4: a request followed by RST", reset),
    harm("silent_bodies", "K5: bodies that never come", silent_bodies),
    harm("silence", "K6: nobody at all for a while", |_| thread::sleep(PATIENCE)),
    harm("slow_heads", "heads that come a byte at a time", slow_heads),
    harm("slow_bodies", "bodies that come a byte at a time", slow_bodies),
    harm("slow_readers", "pipelined requests whose answers are not taken", slow_readers),
    harm("idle_flood", "2000 connections that say nothing", idle_flood),
    harm("churn", "3000 connections opened and closed", churn),
    harm("endless_head", "heads that do not end", endless_head),
    harm("noise", "bytes that are no HTTP", noise),
    smuggle("two_lengths", "bodies whose length can be read in two ways, a request in each", TWO_LENGTHS),
    smuggle("chunked", "encodings that some readers do not know, a request behind each", CHUNKED),
    smuggle("chunks", "odd frames of chunks, a request behind each", CHUNKS),
    crowd("silent_crowd", "1100 addresses with a connection each that says nothing", silent_crowd),
    crowd("deaf_crowd", "six addresses full of clients that take no answer", deaf_crowd),
    harm("half_open", "clients that stop sending and stay", half_open),
    crowd("reset_after_request", "crowds that send whole requests and reset", reset_after_request),
];

/// What an attack did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which attack.
    pub attack: &'static str,
    /// Answers the good client got while it went on.
    pub answered: usize,
    /// Requests of the good client's that failed or took longer than two seconds.
    pub refused: usize,
    /// The longest of its answers took so long.
    pub slowest: Duration,
    /// What the process held before, at most during, and after the attack.
    pub before: Usage,
    /// The most of each.
    pub peak: Usage,
    /// Once it had come back, or ten seconds later.
    pub after: Usage,
    /// Whether the good client is served after the attack.
    pub survived: bool,
    /// Heads whose body was answered as a request.
    pub smuggled: Vec<String>,
}

impl Report {
    /// What is wrong, if anything: a good client that was refused, more memory than 64 MiB, or what did not come back.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.survived {
            faults.push("the server no longer answers".to_owned());
        }
        if !self.smuggled.is_empty() {
            faults.push(format!("a body was answered as a request after {}", self.smuggled.join(", ")));
        }
        if self.refused > 0 || self.answered == 0 {
            faults.push(format!(
                "the good client was refused {} times of {}",
                self.refused,
                self.refused + self.answered
            ));
        }
        if self.peak.rss_kib > 64 << 10 {
            faults.push(format!("{} KiB of memory", self.peak.rss_kib));
        }
        // Threads and descriptors of commands and connections that come and go by themselves.
        if self.after.threads > self.before.threads + 2 {
            faults.push(format!("{} threads before, {} after", self.before.threads, self.after.threads));
        }
        if self.after.descriptors > self.before.descriptors + 2 {
            faults.push(format!(
                "{} descriptors before, {} after",
                self.before.descriptors, self.after.descriptors
            ));
        }
        faults
    }
}

/// What a process holds.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Resident memory.
    pub rss_kib: u64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub descriptors: u64,
}

impl Usage {
    /// What a process holds now; nothing when it is gone.
    pub fn of(pid: Option<u32>) -> Self {
        let Some(pid) = pid else { return Self::default() };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
        Self { rss_kib: number("VmRSS:"), threads: number("Threads:"), descriptors }
    }

    /// What a process holds once it is no more than this, or ten seconds later.
    pub fn restored(self, pid: Option<u32>) -> Self {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let now = Self::of(pid);
            let is_restored = now.threads <= self.threads && now.descriptors <= self.descriptors;
            if is_restored || Instant::now() >= deadline {
                return now;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            rss_kib: self.rss_kib.max(other.rss_kib),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

impl Attack {
    /// Why it would tell nothing about a server at this address, if it would not.
    pub fn skipped_at(&self, address: SocketAddr) -> Option<&'static str> {
        let is_skipped = self.is_crowd && !has_many_addresses(address);
        is_skipped.then_some("it needs many addresses, which only 127.0.0.0/8 gives")
    }

    /// Attacks, with a good client from another address beside it.
    pub fn run(&self, target: Target) -> Report {
        let before = Usage::of(target.pid);
        let mut report = Report {
            attack: self.name,
            answered: 0,
            refused: 0,
            slowest: Duration::ZERO,
            before,
            peak: before,
            after: before,
            survived: false,
            smuggled: Vec::new(),
        };
        thread::scope(|scope| {
            let attack = scope.spawn(|| match self.run {
                Run::Harm(run) => {
                    run(target.address);
                    Vec::new()
                }
                Run::Smuggle(requests) => answered(requests, target.address),
            });
            loop {
                let start = Instant::now();
                match good_request(target.address) {
                    Ok(()) => report.answered += 1,
                    Err(_) => report.refused += 1,
                }
                report.slowest = report.slowest.max(start.elapsed());
                report.peak = report.peak.max(Usage::of(target.pid));
                // Looked at last: an attack may be over before this thread has run at all.
                if attack.is_finished() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
            report.smuggled = attack.join().expect("an attack does not panic");
        });
        report.after = before.restored(target.pid);
        report.peak = report.peak.max(report.after);
        report.survived = good_request(target.address).is_ok();
        report
    }
}

/// One request of the good client, on a connection of its own.
fn good_request(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(GOOD_CLIENT, address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let is_good = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"ok\n");
    if is_good { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Connections of the attacker's; the server may refuse some, which is its right.
fn connections(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).filter_map(|_| connect(ATTACKER, address).ok()).collect()
}

/// Sends what it can; the server may hang up at any time.
fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

fn drain(stream: &mut TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = stream.read_to_end(&mut Vec::new());
}

fn huge_length(address: SocketAddr) {
    for mut stream in connections(address, 20) {
        send(
            &mut stream,
            "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n{",
        );
        drain(&mut stream);
    }
}

fn http_2(address: SocketAddr) {
    for mut stream in connections(address, 200) {
        send(&mut stream, "GET / HTTP/2.0\r\n\r\n");
        drain_quickly(&mut stream);
    }
}

fn drain_quickly(stream: &mut TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
    let _ = stream.read(&mut [0; 512]);
}

fn idle_flood(address: SocketAddr) {
    let idle = connections(address, 2000);
    thread::sleep(PATIENCE);
    drop(idle);
}

fn reset(address: SocketAddr) {
    for round in 0..500 {
        let Ok(mut stream) = connect(ATTACKER, address) else { continue };
        let request = ["GET /page.js HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n", "G"][round % 3];
        send(&mut stream, request.repeat(if round % 3 == 0 { 20 } else { 1 }));
        // Closing at once, with nothing left to linger for, is a reset.
        let _ = Socket::from(stream).set_linger(Some(Duration::ZERO));
    }
}

fn silent_bodies(address: SocketAddr) {
    let mut silent = connections(address, 100);
    for stream in &mut silent {
        send(stream, "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n");
    }
    thread::sleep(SIEGE);
}

fn slow_heads(address: SocketAddr) {
    drip(
        connections(address, 500),
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    );
}

fn slow_bodies(address: SocketAddr) {
    let mut slow = connections(address, 250);
    for stream in &mut slow {
        send(stream, "POST /api/auth/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    }
    drip(slow, &[b' '; 80]);
}

/// Sends `bytes` one by one to each.
fn drip(mut streams: Vec<TcpStream>, bytes: &[u8]) {
    let start = Instant::now();
    for byte in bytes {
        for stream in &mut streams {
            send(stream, [*byte]);
        }
        thread::sleep(Duration::from_millis(100));
        if start.elapsed() > SIEGE {
            return;
        }
    }
}

fn slow_readers(address: SocketAddr) {
    let mut streams = connections(address, 100);
    for stream in &mut streams {
        let _ = stream.set_nonblocking(true);
        // As much as fits; the answers are larger than the requests.
        let requests = "GET /page.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
        let _ = stream.write(requests.as_bytes());
    }
    thread::sleep(SIEGE);
}

fn silent_crowd(address: SocketAddr) {
    let crowd: Vec<_> = (0..1100).map(|number| connect(loopback(11, number), address)).collect();
    thread::sleep(PATIENCE);
    drop(crowd);
}

fn deaf_crowd(address: SocketAddr) {
    let requests = "GET /session.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200);
    let mut crowd = Vec::new();
    for last in 1..=6 {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 9, last));
        for _ in 0..220 {
            let Ok(stream) = connect(from, address) else { continue };
            let socket = Socket::from(stream);
            let _ = socket.set_recv_buffer_size(1024);
            let mut stream = TcpStream::from(socket);
            let _ = stream.set_nonblocking(true);
            let _ = stream.write(requests.as_bytes());
            crowd.push(stream);
        }
    }
    thread::sleep(SIEGE);
}

fn churn(address: SocketAddr) {
    for _ in 0..3000 {
        drop(connect(ATTACKER, address));
    }
}

fn endless_head(address: SocketAddr) {
    for mut stream in connections(address, 10) {
        send(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n");
        let line = "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(1000);
        for _ in 0..400 {
            if stream.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
    }
}

fn noise(address: SocketAddr) {
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for (number, mut stream) in connections(address, 200).into_iter().enumerate() {
        match number % 4 {
            0 => send(&mut stream, hello),
            1 => send(&mut stream, "\r\n\r\n\r\n"),
            2 => send(&mut stream, [0_u8; 300]),
            _ => send(&mut stream, "GET \u{ff}\u{fe} HTTP/1.1\r\n\u{e4}: \u{e4}\r\n\r\n"),
        }
        drain_quickly(&mut stream);
    }
}

/// A request with another one hidden behind `before` in its body. A strict reader sees one request or none in it, so that
/// a second answer was given to the hidden one.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    fields: &'static str,
    before: &'static str,
}

const fn hidden(fields: &'static str, before: &'static str) -> Hidden {
    Hidden { fields, before }
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Five bytes, or no chunk.
const FIVE: &str = "0\r\n\r\n";

// The longer of two lengths is that of the whole body, so that who believes it does not wait for more.
const _: () = assert!(SMUGGLED.len() == 54 && FIVE.len() + SMUGGLED.len() == 59);

/// RFC 9112 §6.3: refused, or answered once and closed.
const TWO_LENGTHS: &[Hidden] = &[
    hidden("Content-Length: 5\r\nContent-Length: 0", FIVE),
    hidden("Content-Length: 5\r\nContent-Length: 59", FIVE),
    hidden("Content-Length: 59\r\nContent-Length: 5", FIVE),
    hidden("Content-Length: 54\r\nContent-Length: 0", ""),
    hidden("Content-Length: 0\r\nTransfer-Encoding: chunked", FIVE),
    hidden("Transfer-Encoding: chunked\r\nContent-Length: 59", FIVE),
    hidden("Content-Length: 5\r\nTransfer-Encoding: chunked", FIVE),
    hidden("Content-Length: +5", FIVE),
    hidden("Content-Length: -5", ""),
    hidden("Content-Length: 5, 0", FIVE),
    hidden("Content-Length: 0x5", FIVE),
    hidden("Content-Length: 0x5", ""),
    hidden("Content-Length: 5 5", FIVE),
    hidden("Content-Length : 5", FIVE),
    hidden("Content-Length : 5", ""),
];

/// Where the first chunk should be is no length, or the encoding is not `chunked`: refused, and closed.
const CHUNKED: &[Hidden] = &[
    hidden("Transfer-Encoding: chunked", ""),
    hidden("Transfer-Encoding:\r\n chunked", ""),
    hidden("Transfer-Encoding : chunked", ""),
    hidden("Transfer-Encoding : chunked", FIVE),
    hidden("Transfer-Encoding: x", ""),
    hidden("Transfer-Encoding: x", FIVE),
    hidden("Transfer-Encoding: xchunked", FIVE),
    hidden("Transfer-Encoding: chunked, identity", FIVE),
    hidden("Transfer-Encoding: chunked, chunked", FIVE),
    hidden("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", FIVE),
    hidden("Transfer-Encoding: gzip, chunked", FIVE),
    hidden("Transfer-Encoding: chunked;q=1", FIVE),
];

/// Frames of chunks that some readers forgive and others do not, or that end somewhere else for some: refused, and closed.
const CHUNKS: &[Hidden] = &[
    hidden("Transfer-Encoding: chunked", "0\n\r\n"),
    hidden("Transfer-Encoding: chunked", "0\r\n\n"),
    hidden("Transfer-Encoding: chunked", "2\n{}\r\n0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "2;\n{}\r\n0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "2;a\rb\r\n{}\r\n0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "2\r\n{}0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "2\r\n{}XX0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "0x0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "-0\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "0 \r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "10000000000000000\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "100000000\r\n\r\n"),
    hidden("Transfer-Encoding: chunked", "0\r\nA: b\n\r\n"),
    hidden("Transfer-Encoding: chunked", "0\r\nA: b\r\n c\r\n\r\n"),
];

/// The fields of the requests behind which a hidden one was answered.
fn answered(requests: &[Hidden], address: SocketAddr) -> Vec<String> {
    let is_answered = |request: &&Hidden| {
        let Hidden { fields, before } = request;
        let shown = format!("POST /api/auth/logout HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let Ok(mut stream) = connect(ATTACKER, address) else { return false };
        send(&mut stream, shown + before + SMUGGLED);
        answers(&mut stream) > 1
    };
    let shown = |request: &Hidden| format!("{:?} {:?}", request.fields, request.before);
    requests.iter().filter(is_answered).map(shown).collect()
}

/// Counts final answers until the server closes or is silent for a while.
fn answers(stream: &mut TcpStream) -> usize {
    let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    while let Ok(len @ 1..) = stream.read(&mut room) {
        bytes.extend_from_slice(&room[..len]);
    }
    let is_status_line = |bytes: &&[u8]| {
        bytes.starts_with(b"HTTP/1.") && bytes[8] == b' ' && (b'2'..=b'5').contains(&bytes[9])
    };
    bytes.windows(10).filter(is_status_line).count()
}

fn half_open(address: SocketAddr) {
    let mut streams = connections(address, 200);
    for (number, stream) in streams.iter_mut().enumerate() {
        send(stream, ["", "GET / HT", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"][number % 3]);
        let _ = stream.shutdown(Shutdown::Write);
    }
    thread::sleep(PATIENCE);
}

/// What these ask for is done, and its answer has nobody to go to.
fn reset_after_request(address: SocketAddr) {
    let body = " ".repeat(16 << 10);
    let request = format!(
        "POST /api/auth/refresh HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < SIEGE {
        let mut crowd = Vec::new();
        for _ in 0..300 {
            number = (number + 1) % 10_000;
            crowd.extend(connect(loopback(10, number), address));
        }
        for stream in &mut crowd {
            send(stream, &request);
        }
        for stream in crowd {
            let _ = Socket::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// One line of the table.
pub fn table_line(report: &Report) -> String {
    format!(
        "{:<19} {:>8} {:>8} {:>8.1} {:>9} {:>9} {:>6} {:>6} {:>6} {:>6}  {}",
        report.attack,
        report.answered,
        report.refused,
        report.slowest.as_secs_f64() * 1000.0,
        report.before.rss_kib,
        report.peak.rss_kib,
        report.peak.threads,
        report.after.threads,
        report.peak.descriptors,
        report.after.descriptors,
        if report.faults().is_empty() { "stands".to_owned() } else { report.faults().join("; ") },
    )
}

/// The head of the table.
pub fn table_head() -> String {
    format!(
        "{:<19} {:>8} {:>8} {:>8} {:>9} {:>9} {:>6} {:>6} {:>6} {:>6}",
        "attack", "answered", "refused", "max ms", "KiB bef.", "KiB peak", "thr.", "after", "desc.", "after"
    )
}
