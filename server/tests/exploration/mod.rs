//! What both explorations share: the breadth-first search, and the server's side over the real decision.

pub(crate) mod one_client;
pub(crate) mod two_tabs;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};

use latchkey::session::{Decision, Declined, Policy, Presented, RetryKey, Session, decide};
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, User};

/// A retry key; 0 is none.
pub(crate) type Key = u16;

/// Any time late enough to subtract ages from; sessions do not expire here.
const NOW: UnixMillis = UnixMillis(1_000_000_000_000);

/// What of a session's record differs between states.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    pub(crate) generation: u32,
    /// Ticks since the last rotation, no more than the grace period has.
    pub(crate) age: u8,
    /// The retry keys of the last rotation and of the one before.
    pub(crate) keys: [Key; 2],
}

impl Record {
    /// A session whose grace has passed since the log-in.
    pub(crate) fn new(grace_ticks: u8) -> Self {
        Self { generation: 1, age: grace_ticks, keys: [0, 0] }
    }

    pub(crate) fn tick(self, grace_ticks: u8) -> Self {
        Self { age: (self.age + 1).min(grace_ticks), ..self }
    }
}

/// What the server makes of a request.
pub(crate) enum Served {
    /// The record after it, and the generation of the token that is handed out.
    Token(Record, u32),
    /// Row 8a: nothing is given, nothing is ended.
    Ignored,
    /// The honest client is refused, which is what must not happen.
    Refused,
}

/// Asks the real decision.
pub(crate) fn serve(record: Record, grace_ticks: u8, token: u32, key: Key) -> Served {
    let policy = Policy { grace_secs: grace_ticks.into(), inactivity_secs: 100_000, lifetime_secs: 100_000 };
    let user = User {
        name: "alice".to_owned(),
        role: Role::User,
        disabled: false,
        auth_epoch: 0,
        created: NOW,
        password_hash: PasswordHash(String::new()),
    };
    let signed_in = UnixMillis(NOW.0 - 50_000_000);
    let mut session =
        Session::begin(&user, 1, IpAddr::V4(Ipv4Addr::LOCALHOST), "", Now::at(signed_in), &policy);
    session.generation = record.generation;
    session.rotated_at = UnixMillis(NOW.0 - 1000 * u64::from(record.age));
    session.retry_keys = record.keys.map(retry_key);
    let presented = Presented { generation: token, retry_key: retry_key(key), signing_kid: 1 };
    match decide(Some(&session), Some(&user), presented, Now::at(NOW), &policy) {
        Decision::Rotate(next, _) => {
            let keys = next.retry_keys.map(|key| key.map_or(0, number));
            Served::Token(Record { generation: next.generation, age: 0, keys }, next.generation)
        }
        Decision::Repeat(_) => Served::Token(record, record.generation),
        Decision::Decline(Declined::Superseded) => Served::Ignored,
        Decision::Decline(Declined::RetryKeyReused) | Decision::End(_) => Served::Refused,
    }
}

fn retry_key(key: Key) -> Option<RetryKey> {
    (key != 0).then(|| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&key.to_be_bytes());
        RetryKey(bytes)
    })
}

fn number(key: RetryKey) -> Key {
    Key::from_be_bytes([key.0[0], key.0[1]])
}

/// What can come after a state.
pub(crate) enum Next<S> {
    State(S, String),
    Violation(String),
}

/// What an exploration found.
pub(crate) struct Found {
    pub(crate) states: usize,
    /// The steps to the nearest violation.
    pub(crate) violation: Option<String>,
}

impl Found {
    #[track_caller]
    pub(crate) fn assert_holds(self) {
        assert!(self.states > 100, "{} states are no exploration", self.states);
        assert_eq!(self.violation, None);
        println!("{} states, no honest client refused", self.states);
    }

    #[track_caller]
    pub(crate) fn assert_fails(self) {
        let violation = self.violation.expect("without the rule there is a refusal");
        println!("after {} states: {violation}", self.states);
    }
}

/// Goes through all states breadth first, and stops at the first violation, which is the nearest.
pub(crate) fn explore<S: Clone + Eq + Hash>(start: S, successors: impl Fn(&S, &mut Vec<Next<S>>)) -> Found {
    let mut came_from: HashMap<S, Option<(S, String)>> = HashMap::from([(start.clone(), None)]);
    let mut queue = VecDeque::from([start]);
    let mut next = Vec::new();
    while let Some(state) = queue.pop_front() {
        successors(&state, &mut next);
        for successor in next.drain(..) {
            match successor {
                Next::Violation(what) => {
                    let mut steps = vec![what];
                    let mut at = &state;
                    while let Some(Some((before, step))) = came_from.get(at) {
                        steps.push(step.clone());
                        at = before;
                    }
                    steps.reverse();
                    return Found { states: came_from.len(), violation: Some(steps.join(" ")) };
                }
                Next::State(new, step) => {
                    if !came_from.contains_key(&new) {
                        came_from.insert(new.clone(), Some((state.clone(), step)));
                        queue.push_back(new);
                    }
                }
            }
        }
    }
    Found { states: came_from.len(), violation: None }
}
