//! One honest client with one attempt in flight, which never reads the answer of an attempt it has abandoned.

use std::collections::BTreeSet;

use super::{Key, Next, Record, Served, explore, serve};

/// Which rules are in force, and how far to look.
pub(crate) struct OneClient {
    pub(crate) grace_ticks: u8,
    /// Ticks an abandoned request may still travel; `None` is for ever.
    pub(crate) request_life: Option<u8>,
    /// The server may lose rotations that were not synced.
    pub(crate) crashes: bool,
    /// Row 4.
    pub(crate) heals_ahead: bool,
    /// Rows 5a, 8 and 8a.
    pub(crate) retry_keys: bool,
    /// The server remembers the key before the last (row 8a).
    pub(crate) two_keys: bool,
    /// The client keeps its retry key over a reboot.
    pub(crate) key_is_persisted: bool,
    /// After an abandoned attempt the next refresh waits.
    pub(crate) waits: bool,
    /// One retry key a refresh token, not one an operation.
    pub(crate) key_per_token: bool,
    pub(crate) generations: u32,
    pub(crate) operations: u16,
}

impl Default for OneClient {
    fn default() -> Self {
        Self {
            grace_ticks: 3,
            request_life: Some(2),
            crashes: false,
            heals_ahead: true,
            retry_keys: true,
            two_keys: true,
            key_is_persisted: true,
            waits: true,
            key_per_token: true,
            generations: 5,
            operations: 7,
        }
    }
}

/// A request on its way: the token's generation and the retry key.
type Sent = (u32, Key);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Live {
    Request(Sent),
    /// The generation of the token in the answer.
    Answer(u32),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    server: Record,
    /// What of it would survive a crash.
    durable: (u32, [Key; 2]),
    token: u32,
    /// The retry key in use, 0 when no refresh is under way.
    pending: Key,
    operation: u16,
    live: Option<Live>,
    /// Abandoned requests and their age.
    abandoned: BTreeSet<(Sent, u8)>,
    since_abandoned: u8,
}

const ABANDONED_MAX: usize = 2;

/// Asserts that the honest client is never refused.
#[track_caller]
pub(crate) fn holds(scenario: OneClient) {
    scenario.explore().assert_holds();
}

/// Asserts that the honest client is refused.
#[track_caller]
pub(crate) fn fails(scenario: OneClient) {
    scenario.explore().assert_fails();
}

impl OneClient {
    fn explore(&self) -> super::Found {
        let server = Record::new(self.grace_ticks);
        let start = State {
            server,
            durable: (server.generation, server.keys),
            token: 1,
            pending: 0,
            operation: 1,
            live: None,
            abandoned: BTreeSet::new(),
            since_abandoned: self.quiet_ticks(),
        };
        explore(start, |state, next| self.successors(state, next))
    }

    /// After so many ticks no abandoned request is on its way any more.
    fn quiet_ticks(&self) -> u8 {
        self.request_life.unwrap_or(0) + 1
    }

    fn successors(&self, state: &State, next: &mut Vec<Next<State>>) {
        if state.server.generation >= self.generations {
            return;
        }
        self.client_acts(state, next);
        self.time_passes(state, next);
        if self.crashes {
            server_crashes_or_syncs(self.grace_ticks, state, next);
        }
        if let Some(Live::Request(sent)) = state.live {
            self.server_answers(state, sent, None, next);
        }
        for late in &state.abandoned {
            self.server_answers(state, late.0, Some(*late), next);
        }
        if let Some(Live::Answer(token)) = state.live {
            let delivered = State { token, pending: 0, live: None, ..state.clone() };
            next.push(Next::State(delivered, format!("deliver({token})")));
        }
    }

    fn client_acts(&self, state: &State, next: &mut Vec<Next<State>>) {
        let send = |key: Key, operation| State {
            pending: key,
            operation,
            live: Some(Live::Request((state.token, key))),
            ..state.clone()
        };
        let token = state.token;
        let may_start = state.since_abandoned >= self.quiet_ticks() || !self.waits;
        if state.pending == 0 && state.operation <= self.operations && may_start {
            let key = if self.key_per_token { 100 + token as Key } else { state.operation };
            next.push(Next::State(send(key, state.operation + 1), format!("start({token})")));
        }
        if state.pending != 0 && state.live.is_none() {
            next.push(Next::State(send(state.pending, state.operation), format!("retry({token})")));
        }
        if state.pending == 0 {
            return;
        }
        if let Some(live) = state.live {
            let mut abandoned = state.abandoned.clone();
            if let Live::Request(sent) = live
                && abandoned.len() < ABANDONED_MAX
            {
                abandoned.insert((sent, 0));
            }
            let timed_out = State { live: None, abandoned, since_abandoned: 0, ..state.clone() };
            next.push(Next::State(timed_out, "time-out".to_owned()));
        }
        if !self.key_is_persisted && state.operation <= self.operations {
            let rebooted = State { since_abandoned: 0, ..send(200 + state.operation, state.operation + 1) };
            next.push(Next::State(rebooted, "reboot with a new key".to_owned()));
        }
    }

    fn time_passes(&self, state: &State, next: &mut Vec<Next<State>>) {
        let abandoned = match self.request_life {
            None => state.abandoned.clone(),
            Some(life) => {
                let older = state.abandoned.iter().map(|(sent, age)| (*sent, age + 1));
                older.filter(|(_, age)| *age <= life).collect()
            }
        };
        let later = State {
            server: state.server.tick(self.grace_ticks),
            abandoned,
            since_abandoned: (state.since_abandoned + 1).min(self.quiet_ticks()),
            ..state.clone()
        };
        next.push(Next::State(later, "tick".to_owned()));
    }

    /// `late` is the abandoned request this is, if it is one.
    fn server_answers(
        &self,
        state: &State,
        (token, key): Sent,
        late: Option<(Sent, u8)>,
        next: &mut Vec<Next<State>>,
    ) {
        let mut abandoned = state.abandoned.clone();
        if let Some(late) = &late {
            abandoned.remove(late);
            let lost = State { abandoned: abandoned.clone(), ..state.clone() };
            next.push(Next::State(lost, "a late one is lost".to_owned()));
        }
        let key_seen = if self.retry_keys { key } else { 0 };
        let is_ahead = token > state.server.generation;
        let mut record = state.server;
        if !self.two_keys {
            record.keys[1] = 0;
        }
        let served = if is_ahead && !self.heals_ahead {
            Served::Refused
        } else {
            serve(record, self.grace_ticks, token, key_seen)
        };
        let (server, answer) = match served {
            Served::Refused => {
                let what = format!("=> REFUSED({token}, current {})", state.server.generation);
                return next.push(Next::Violation(what));
            }
            Served::Ignored => (state.server, None),
            Served::Token(record, token) => (record, Some(Live::Answer(token))),
        };
        let durable = if self.crashes { state.durable } else { (server.generation, server.keys) };
        let live = if late.is_some() { state.live } else { answer };
        let how = if late.is_some() { "serve-late" } else { "serve" };
        let served = State { server, durable, live, abandoned, ..state.clone() };
        next.push(Next::State(served, format!("{how}({token})")));
    }
}

fn server_crashes_or_syncs(grace_ticks: u8, state: &State, next: &mut Vec<Next<State>>) {
    let current = (state.server.generation, state.server.keys);
    if state.durable == current {
        return;
    }
    let (generation, keys) = state.durable;
    let crashed = State { server: Record { generation, age: grace_ticks, keys }, ..state.clone() };
    next.push(Next::State(crashed, "CRASH".to_owned()));
    next.push(Next::State(State { durable: current, ..state.clone() }, "sync".to_owned()));
}
