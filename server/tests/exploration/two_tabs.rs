//! Two tabs of one browser on one cookie jar, without a lock between them.
//!
//! A tab has one attempt in flight and may give it up at any time; its request then still travels. After an answer a
//! tab holds an access token and starts no refresh for `access_ttl` ticks.

use std::collections::BTreeSet;

use super::{Key, Next, Record, Served, explore, serve};

/// Which rules are in force, and how far to look.
pub(crate) struct TwoTabs {
    pub(crate) grace_ticks: u8,
    /// Ticks that requests and answers travel at most.
    pub(crate) request_life: u8,
    /// Ticks an access token lasts.
    pub(crate) access_ttl: u8,
    /// The tabs share the pending retry key.
    pub(crate) key_is_shared: bool,
    /// The server remembers the key before the last (row 8a).
    pub(crate) two_keys: bool,
    /// An answer that did not rotate sets the cookie all the same.
    pub(crate) unrotated_sets_cookie: bool,
    pub(crate) generations: u32,
    pub(crate) keys: Key,
}

impl Default for TwoTabs {
    fn default() -> Self {
        Self {
            grace_ticks: 3,
            request_life: 2,
            access_ttl: 3,
            key_is_shared: true,
            two_keys: true,
            unrotated_sets_cookie: false,
            generations: 4,
            keys: 5,
        }
    }
}

/// A request on its way: the token's generation and the retry key.
type Sent = (u32, Key);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Live {
    Request { sent: Sent, age: u8 },
    Answer { token: u32, key: Key, is_another: bool, age: u8 },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Tab {
    live: Option<Live>,
    /// The retry key this tab is using, 0 when it is not refreshing.
    pending: Key,
    since_answer: u8,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    server: Record,
    cookie: u32,
    /// The pending key that the tabs share, 0 when there is none.
    shared_key: Key,
    next_key: Key,
    tabs: [Tab; 2],
    abandoned: BTreeSet<(Sent, u8)>,
    since_abandoned: u8,
}

const ABANDONED_MAX: usize = 2;
const NAMES: [char; 2] = ['A', 'B'];

/// Asserts that the honest session is never ended.
#[track_caller]
pub(crate) fn holds(scenario: TwoTabs) {
    scenario.explore().assert_holds();
}

/// Asserts that the honest session is ended.
#[track_caller]
pub(crate) fn fails(scenario: TwoTabs) {
    scenario.explore().assert_fails();
}

impl TwoTabs {
    fn explore(&self) -> super::Found {
        let tab = Tab { live: None, pending: 0, since_answer: self.access_ttl };
        let start = State {
            server: Record::new(self.grace_ticks),
            cookie: 1,
            shared_key: 0,
            next_key: 1,
            tabs: [tab, tab],
            abandoned: BTreeSet::new(),
            since_abandoned: self.request_life + 1,
        };
        explore(start, |state, next| self.successors(state, next))
    }

    fn successors(&self, state: &State, next: &mut Vec<Next<State>>) {
        if state.server.generation >= self.generations {
            return;
        }
        self.time_passes(state, next);
        for index in 0..state.tabs.len() {
            match state.tabs[index].live {
                None => self.tab_sends(state, index, next),
                Some(Live::Request { sent, .. }) => self.request_travels(state, index, sent, next),
                Some(Live::Answer { token, key, is_another, .. }) => {
                    self.answer_arrives(state, index, (token, key), is_another, next);
                }
            }
        }
        for late in &state.abandoned {
            self.late_request_arrives(state, *late, next);
        }
    }

    fn time_passes(&self, state: &State, next: &mut Vec<Next<State>>) {
        let older = |tab: Tab| Tab {
            live: tab.live.and_then(|live| self.older(live)),
            since_answer: (tab.since_answer + 1).min(self.access_ttl),
            ..tab
        };
        let abandoned = state.abandoned.iter().map(|(sent, age)| (*sent, age + 1));
        let later = State {
            server: state.server.tick(self.grace_ticks),
            tabs: state.tabs.map(older),
            abandoned: abandoned.filter(|(_, age)| *age <= self.request_life).collect(),
            since_abandoned: (state.since_abandoned + 1).min(self.request_life + 1),
            ..state.clone()
        };
        next.push(Next::State(later, "tick".to_owned()));
    }

    /// What is on its way, a tick later; nothing when it has been too long.
    fn older(&self, live: Live) -> Option<Live> {
        match live {
            Live::Request { sent, age } => {
                (age < self.request_life).then_some(Live::Request { sent, age: age + 1 })
            }
            Live::Answer { token, key, is_another, age } => {
                (age < self.request_life).then_some(Live::Answer { token, key, is_another, age: age + 1 })
            }
        }
    }

    fn tab_sends(&self, state: &State, index: usize, next: &mut Vec<Next<State>>) {
        let tab = state.tabs[index];
        let may_start = state.since_abandoned > self.request_life && tab.since_answer >= self.access_ttl;
        if tab.pending == 0 && !may_start {
            return;
        }
        let known = if self.key_is_shared { state.shared_key } else { tab.pending };
        let is_fresh = known == 0;
        if is_fresh && state.next_key > self.keys {
            return;
        }
        let key = if is_fresh { state.next_key } else { known };
        let sent = (state.cookie, key);
        let mut after = state.clone();
        after.tabs[index] = Tab { live: Some(Live::Request { sent, age: 0 }), pending: key, ..tab };
        after.next_key += Key::from(is_fresh);
        if self.key_is_shared {
            after.shared_key = key;
        }
        next.push(Next::State(after, format!("{}:send({}, key {key})", NAMES[index], state.cookie)));
    }

    fn request_travels(&self, state: &State, index: usize, sent: Sent, next: &mut Vec<Next<State>>) {
        let name = NAMES[index];
        let mut given_up = state.clone();
        given_up.tabs[index].live = None;
        given_up.since_abandoned = 0;
        if given_up.abandoned.len() < ABANDONED_MAX {
            given_up.abandoned.insert((sent, 0));
        }
        next.push(Next::State(given_up, format!("{name}:time-out")));

        let Some(Live::Request { age, .. }) = state.tabs[index].live else { return };
        let mut after = state.clone();
        match self.serve(state, sent) {
            Served::Refused => {
                let what = format!("=> ENDED by {name}({}, current {})", sent.0, state.server.generation);
                return next.push(Next::Violation(what));
            }
            Served::Ignored => after.tabs[index].live = None,
            Served::Token(server, token) => {
                after.server = server;
                let is_another = token != sent.0;
                after.tabs[index].live = Some(Live::Answer { token, key: sent.1, is_another, age });
            }
        }
        next.push(Next::State(after, format!("{name}:served({})", sent.0)));
    }

    fn answer_arrives(
        &self,
        state: &State,
        index: usize,
        (token, key): Sent,
        is_another: bool,
        next: &mut Vec<Next<State>>,
    ) {
        let name = NAMES[index];
        let mut lost = state.clone();
        lost.tabs[index].live = None;
        lost.since_abandoned = 0;
        next.push(Next::State(lost, format!("{name}:answer lost")));

        let mut got = state.clone();
        got.tabs[index] = Tab { live: None, pending: 0, since_answer: 0 };
        if is_another || self.unrotated_sets_cookie {
            got.cookie = token;
        }
        if is_another && got.shared_key == key {
            got.shared_key = 0;
        }
        next.push(Next::State(got, format!("{name}:got({token})")));
    }

    fn late_request_arrives(&self, state: &State, late: (Sent, u8), next: &mut Vec<Next<State>>) {
        let (sent, _) = late;
        let mut after = state.clone();
        after.abandoned.remove(&late);
        match self.serve(state, sent) {
            Served::Refused => {
                let what = format!("=> ENDED by a late {}, current {}", sent.0, state.server.generation);
                return next.push(Next::Violation(what));
            }
            Served::Ignored => {}
            Served::Token(server, _) => after.server = server,
        }
        next.push(Next::State(after, format!("late({})", sent.0)));
    }

    fn serve(&self, state: &State, (token, key): Sent) -> Served {
        let mut record = state.server;
        if !self.two_keys {
            record.keys[1] = 0;
        }
        serve(record, self.grace_ticks, token, key)
    }
}
