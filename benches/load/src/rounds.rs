//! Rounds in which both servers have their turn, so that a disk that slows down slows both.

use std::time::Duration;

use crate::Failure;
use crate::load::{Clients, Session, Workload};
use crate::process::Usage;
use crate::servers::Server;

const ROUNDS: usize = 6;
const TURN: Duration = Duration::from_millis(1500);
/// Before the first turn, unmeasured: threads start, files grow to the size they keep.
const WARM_UP: Duration = Duration::from_millis(500);

/// A server and the sessions it has opened.
pub(crate) struct Side {
    pub(crate) server: Server,
    pub(crate) sessions: Vec<Session>,
}

/// What one server did for so many clients, over all rounds.
pub(crate) struct Measured {
    pub(crate) clients: usize,
    pub(crate) name: &'static str,
    /// Of each round.
    pub(crate) requests_per_sec: Vec<f64>,
    pub(crate) refused: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) processor_micros_per_request: f64,
    pub(crate) written_kib_per_request: f64,
}

/// Lets the first `clients` sessions of each side ask.
pub(crate) fn run(sides: &mut [Side], workload: Workload, clients: usize) -> Result<Vec<Measured>, Failure> {
    let mut contests = Vec::new();
    for side in sides.iter() {
        contests.push(Contest::begin(&side.server, workload, &side.sessions[..clients])?);
    }
    for round in 0..ROUNDS {
        // Back and forth, so that nobody always comes second.
        if round % 2 == 0 {
            contests.iter_mut().try_for_each(Contest::turn)?;
        } else {
            contests.iter_mut().rev().try_for_each(Contest::turn)?;
        }
    }
    let mut measured = Vec::new();
    let mut newest = Vec::new();
    for contest in contests {
        let (result, sessions) = contest.end();
        measured.push(result);
        newest.push(sessions);
    }
    for (side, newest) in sides.iter_mut().zip(newest) {
        side.sessions.splice(..clients, newest);
    }
    Ok(measured)
}

/// One server's part.
struct Contest<'a> {
    server: &'a Server,
    clients: Clients,
    client_count: usize,
    used: Usage,
    latencies: Vec<Duration>,
    requests_per_sec: Vec<f64>,
    refused: usize,
}

impl<'a> Contest<'a> {
    fn begin(server: &'a Server, workload: Workload, sessions: &[Session]) -> Result<Self, Failure> {
        let mut clients = Clients::connect(sessions, workload)?;
        clients.ask_for(WARM_UP)?;
        Ok(Self {
            server,
            clients,
            client_count: sessions.len(),
            used: Usage::default(),
            latencies: Vec::new(),
            requests_per_sec: Vec::new(),
            refused: 0,
        })
    }

    fn turn(&mut self) -> Result<(), Failure> {
        let before = Usage::of(self.server.pid())?;
        let seen = self.clients.ask_for(TURN)?;
        self.used += Usage::of(self.server.pid())?.since(before);
        self.requests_per_sec.push(seen.in_time as f64 / TURN.as_secs_f64());
        self.latencies.extend(seen.latencies);
        self.refused += seen.refused;
        Ok(())
    }

    fn end(mut self) -> (Measured, Vec<Session>) {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        let measured = Measured {
            clients: self.client_count,
            name: self.server.name,
            requests_per_sec: self.requests_per_sec,
            refused: self.refused,
            p50: self.latencies[count / 2],
            p99: self.latencies[count * 99 / 100],
            processor_micros_per_request: self.used.processor_secs * 1e6 / count as f64,
            written_kib_per_request: self.used.written_bytes as f64 / 1024.0 / count as f64,
        };
        (measured, self.clients.into_sessions())
    }
}
