//! The store's commands with few users and sessions, so that they meet often, and a map that does the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use latchkey::audit::Event;
use latchkey::command::{self, NewUser, SignIn, Verified};
use latchkey::session::{Policy, SESSIONS_PER_USER_MAX, SessionId};
use latchkey::store::{Store, StoreError, Writes, fuzzing};
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, UserId};

use crate::server::delete_all;

const POLICY: Policy = Policy { grace_secs: 0, inactivity_secs: 1_000_000, lifetime_secs: 1_000_000 };
const NOW: Now = Now::at(UnixMillis::from_secs(crate::NOW));

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const USERS: u8 = 3;

/// A command. Users are counted modulo three, and each has one name of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    Add {
        user: u8,
        name: bool,
    },
    SignIn {
        user: u8,
        session: u8,
        password: u8,
        replaces: Option<u8>,
    },
    End {
        user: u8,
        session: u8,
        as_user: u8,
    },
    EndAll {
        user: u8,
    },
    Disable {
        user: u8,
        disabled: bool,
    },
    ChangePassword {
        user: u8,
        session: u8,
        current: u8,
        new: u8,
    },
    Reset {
        user: u8,
        epoch: u8,
        new: u8,
    },
    Delete {
        user: u8,
    },
    Sweep,
    /// What follows is in the next commit.
    Commit,
}

impl Command {
    /// Any five bytes are one.
    pub fn of(&[kind, user, session, first, second]: &[u8; 5]) -> Self {
        match kind % 10 {
            0 => Self::Add { user, name: first % 2 == 0 },
            1 => Self::SignIn { user, session, password: first, replaces: (second > 99).then_some(second) },
            2 => Self::End { user, session, as_user: if first > 99 { first } else { user } },
            3 => Self::EndAll { user },
            4 => Self::Disable { user, disabled: first % 2 == 0 },
            5 => Self::ChangePassword { user, session, current: first, new: second },
            6 => Self::Reset { user, epoch: first, new: second },
            7 => Self::Delete { user },
            8 => Self::Sweep,
            _ => Self::Commit,
        }
    }
}

/// Users that are there, with what is shown of each and the sessions that live.
pub type Living = BTreeMap<u8, (String, BTreeSet<u8>)>;

fn id_of(user: u8) -> UserId {
    UserId((user % USERS).into())
}

fn session_of(user: u8, session: u8) -> SessionId {
    SessionId::new(id_of(user), [session; 8])
}

fn name_of(user: u8, name: bool) -> String {
    // The second name is everybody's.
    if name { format!("user-{}", user % USERS) } else { "Anybody".to_owned() }
}

fn hash_of(password: u8) -> PasswordHash {
    PasswordHash((password % 2).to_string())
}

/// What a password was verified against, in an epoch that no user ever has: only the hash can tell.
fn verified(password: u8) -> Verified {
    Verified { hash: hash_of(password), epoch: u32::MAX }
}

/// A user as the map has it.
#[derive(Default)]
struct Plain {
    name: String,
    is_disabled: bool,
    epoch: u32,
    password: u8,
    sessions: BTreeSet<u8>,
}

impl Plain {
    fn end_all(&mut self) {
        self.epoch += 1;
        self.sessions.clear();
    }
}

/// The map.
#[derive(Default)]
pub struct Model(BTreeMap<u8, Plain>);

impl Model {
    /// Does what the store would; whether the command came to something.
    pub fn perform(&mut self, command: &Command) -> bool {
        let key = |user: u8| user % USERS;
        match *command {
            Command::Add { user, name } => {
                let name = name_of(user, name);
                let is_free = self.0.values().all(|known| known.name != name);
                let is_new = is_free && !self.0.contains_key(&key(user));
                if is_new {
                    self.0.insert(key(user), Plain { name, ..Plain::default() });
                }
                is_new
            }
            Command::SignIn { user, session, password, replaces } => {
                let Some(known) = self.0.get_mut(&key(user)) else { return false };
                if known.is_disabled || known.password != password % 2 {
                    return false;
                }
                known.sessions.retain(|other| Some(*other) != replaces);
                // All are idle for as long; then the one of the lowest id ends.
                if known.sessions.len() == SESSIONS_PER_USER_MAX {
                    known.sessions.pop_first();
                }
                known.sessions.insert(session);
                true
            }
            Command::End { user, session, as_user } => {
                let Some(known) = self.0.get_mut(&key(user)) else { return false };
                if key(as_user) != key(user) {
                    return false;
                }
                known.sessions.remove(&session)
            }
            Command::EndAll { user } => {
                self.0.get_mut(&key(user)).into_iter().for_each(Plain::end_all);
                true
            }
            Command::Disable { user, disabled } => self.0.get_mut(&key(user)).is_some_and(|known| {
                if known.is_disabled != disabled {
                    known.is_disabled = disabled;
                    known.end_all();
                }
                true
            }),
            Command::ChangePassword { user, session, current, new } => {
                let Some(known) = self.0.get_mut(&key(user)) else { return false };
                if !known.sessions.contains(&session) || known.password != current % 2 {
                    return false;
                }
                known.end_all();
                known.sessions.insert(session);
                known.password = new % 2;
                true
            }
            Command::Reset { user, epoch, new } => {
                let Some(known) = self.0.get_mut(&key(user)) else { return false };
                if known.epoch != u32::from(epoch) {
                    return false;
                }
                known.end_all();
                known.password = new % 2;
                true
            }
            Command::Delete { user } => self.0.remove(&key(user)).is_some(),
            Command::Sweep | Command::Commit => true,
        }
    }

    /// All that lives.
    pub fn living(&self) -> Living {
        let shown = |known: &Plain| (known.name.clone(), known.sessions.clone());
        self.0.iter().map(|(user, known)| (*user, shown(known))).collect()
    }
}

/// The real store, seen from outside.
pub struct Outside(&'static Store);

impl Outside {
    /// An empty one.
    pub fn empty() -> Self {
        static STORE: LazyLock<Store> =
            LazyLock::new(|| fuzzing::in_memory().expect("memory can be written"));
        STORE.write(delete_all).expect("memory can be written");
        Self(&STORE)
    }

    /// Performs commands in one commit; whether each came to something.
    pub fn perform(&self, batch: Vec<Command>) -> Vec<bool> {
        let outcomes = move |writes: &mut Writes<'_>| {
            batch.iter().map(|command| perform(writes, *command)).collect::<Result<_, _>>()
        };
        self.0.write(outcomes).expect("memory can be written")
    }

    /// All that lives.
    pub fn living(&self) -> Living {
        let look = |reads: &latchkey::store::Reads| {
            let mut living = Living::new();
            for (id, user) in reads.users()? {
                let sessions = reads.sessions_of(id)?.into_iter();
                let alive = sessions.filter(|(_, session)| session.end_reason(Some(&user), NOW).is_none());
                let alive = alive.map(|(session, _)| session.0[15]).collect();
                living.insert(id.0 as u8, (user.name, alive));
            }
            Ok(living)
        };
        self.0.read(look).expect("memory can be read")
    }
}

fn perform(writes: &mut Writes<'_>, command: Command) -> Result<bool, StoreError> {
    match command {
        Command::Add { user, name } => {
            if writes.user(id_of(user))?.is_some() {
                return Ok(false); // ids are random and never given twice
            }
            let name = name_of(user, name).parse().expect("a name");
            let new = NewUser { id: id_of(user), name, role: Role::User, password_hash: hash_of(0) };
            command::add_user(writes, new, None, NOW).map(|added| added.is_some())
        }
        Command::SignIn { user, session, password, replaces } => {
            let sign_in = SignIn {
                user: id_of(user),
                verified: verified(password),
                upgraded: None,
                replaces: replaces.map(|session| session_of(user, session)),
                id: session_of(user, session),
                kid: 1,
                address: ADDRESS,
                label: String::new(),
            };
            command::sign_in(writes, &sign_in, NOW, &POLICY).map(|opened| opened.is_ok())
        }
        Command::End { user, session, as_user } => {
            command::sign_out(writes, id_of(as_user), session_of(user, session), ADDRESS, NOW)
        }
        Command::EndAll { user } => {
            command::sign_out_everywhere(writes, id_of(user), ADDRESS, NOW).map(|()| true)
        }
        Command::Disable { user, disabled } => {
            let change = |user: &mut latchkey::user::User| user.disabled = disabled;
            command::change_user(writes, id_of(user), Event::UserDisabled, None, NOW, change)
                .map(|changed| changed.is_some())
        }
        Command::ChangePassword { user, session, current, new } => {
            let keep = session_of(user, session);
            command::change_password(writes, keep, &verified(current), hash_of(new), ADDRESS, NOW)
                .map(|changed| changed.is_ok())
        }
        Command::Reset { user, epoch, new } => {
            command::reset_password(writes, id_of(user), epoch.into(), hash_of(new), ADDRESS, NOW)
        }
        Command::Delete { user } => command::delete_user(writes, id_of(user), None, NOW),
        Command::Commit => Ok(true),
        Command::Sweep => {
            let mut ids = Vec::new();
            for (user, _) in writes.users()? {
                ids.extend(writes.sessions_of(user)?.into_iter().map(|(id, _)| id));
            }
            command::delete_dead(writes, &ids, NOW).map(|_| true)
        }
    }
}
