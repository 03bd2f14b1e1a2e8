//! A million sessions: how long a store of them takes to open and to sweep, and how much disk and memory.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use latchkey::command;
use latchkey::session::{Policy, Presented, Session, SessionId};
use latchkey::store::{self, Store};
use latchkey::sweeper;
use latchkey::time::{Now, UnixMillis};
use latchkey::user::{PasswordHash, Role, User, UserId};

use crate::Failure;
use crate::load::{Clients, Workload};
use crate::process::Memory;
use crate::servers::{self, Server};

const SESSIONS: u64 = 1_000_000;
const SESSIONS_PER_USER: u64 = 64;
/// Every so many-th session has expired.
const EXPIRED_ONE_IN: u64 = 10;
/// Sessions written in one commit while the store is filled.
const FILLED_AT_ONCE: u64 = 8192;

/// Random reads, and as many random refreshes.
const VISITS: u64 = 10_000;
const VISITORS: u64 = 64;
const VISITOR_STACK_LEN: usize = 256 << 10;

/// Clients of the real server over the full store, and for how long.
const CLIENTS: usize = 64;
const LOAD: Duration = Duration::from_secs(10);

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const POLICY: Policy = Policy { grace_secs: 0, inactivity_secs: 604_800, lifetime_secs: 2_592_000 };

/// Fills a store in `folder` and visits it, each in a process of its own so that one's memory is not the other's;
/// then the real server has it.
pub(crate) fn run(program: &Path, folder: &Path) -> Result<(), Failure> {
    println!("\nA million sessions of {} users, one in {EXPIRED_ONE_IN} of them expired.", users());
    println!(
        "\n| what                                         |      time |  RSS KiB | peak KiB | file KiB |"
    );
    println!("|:---------------------------------------------|----------:|---------:|---------:|---------:|");
    let data = folder.join("latchkey-data");
    fs::DirBuilder::new().mode(0o700).create(&data)?;
    let path = data.join(store::FILE_NAME);
    for mode in ["fill", "visit"] {
        if !Command::new(std::env::current_exe()?).arg(mode).arg(&path).status()?.success() {
            return Err(format!("the process to {mode} the store failed").into());
        }
    }
    serve(program, folder, &path)
}

/// Writes the sessions.
pub(crate) fn fill(path: &Path) -> Result<(), Failure> {
    let begin = Instant::now();
    let store = Store::open(path, |_| {})?;
    let mut numbers = 0..SESSIONS;
    while !numbers.is_empty() {
        let batch = numbers.start..SESSIONS.min(numbers.start + FILLED_AT_ONCE);
        numbers.start = batch.end;
        store.write(move |writes| {
            for number in batch {
                let user_id = user_of(number);
                if number % SESSIONS_PER_USER == 0 {
                    let name = format!("user {:x}", user_id.0).parse().expect("the name is valid");
                    // As long as a real one.
                    let hash = PasswordHash("x".repeat(97));
                    let new = command::NewUser { id: user_id, name, role: Role::User, password_hash: hash };
                    command::add_user(writes, new, None, now())?;
                }
                writes.put_session(id_of(number), &session(number))?;
            }
            Ok(())
        })?;
    }
    drop(store);
    print("fill, in commits of 8192", begin.elapsed(), std::process::id(), path)
}

/// Opens the store, reads and refreshes at random, and sweeps.
pub(crate) fn visit(path: &Path) -> Result<(), Failure> {
    let me = std::process::id();
    let begin = Instant::now();
    let store = Store::open(path, |_| {})?;
    print("open, every page verified", begin.elapsed(), me, path)?;

    let begin = Instant::now();
    for visit in 0..VISITS {
        let id = id_of(living(visit));
        let found = store.read(|reads| reads.session(id))?;
        assert!(found.is_some(), "a session is missing");
    }
    print("10,000 random reads", begin.elapsed(), me, path)?;

    let begin = Instant::now();
    thread::scope(|scope| {
        let visitors: Result<Vec<_>, _> = (0..VISITORS)
            .map(|visitor| {
                let builder = thread::Builder::new().stack_size(VISITOR_STACK_LEN);
                let store = &store;
                builder.spawn_scoped(scope, move || {
                    (visitor..VISITS)
                        .step_by(VISITORS as usize)
                        .for_each(|visit| refresh(store, living(visit)));
                })
            })
            .collect();
        visitors.map(|_| ())
    })?;
    print("10,000 random refreshes by 64 threads", begin.elapsed(), me, path)?;

    let begin = Instant::now();
    let swept = sweeper::sweep(&store, now())?;
    assert_eq!(swept as u64, SESSIONS / EXPIRED_ONE_IN, "the expired ones are swept");
    print("sweep that deletes 100,000", begin.elapsed(), me, path)?;

    let begin = Instant::now();
    assert_eq!(sweeper::sweep(&store, now())?, 0, "all that is left is alive");
    print("sweep that deletes none", begin.elapsed(), me, path)
}

fn refresh(store: &Store, number: u64) {
    let id = id_of(number);
    let refreshed = store.write(move |writes| {
        let generation = writes.session(id)?.map_or(0, |session| session.generation);
        let presented = Presented { generation, retry_key: None, signing_kid: 1 };
        command::refresh(writes, id, presented, ADDRESS, now(), &POLICY)
    });
    assert!(refreshed.is_ok_and(|refreshed| refreshed.current.is_some()), "a living session is refreshed");
}

/// The release binary over the same store.
fn serve(program: &Path, folder: &Path, path: &Path) -> Result<(), Failure> {
    servers::add_users(program, folder, CLIENTS)?;
    let server = Server::latchkey(program, folder)?;
    print("start of the server", server.start_time, server.pid(), path)?;
    let begin = Instant::now();
    let sessions = server.open_sessions(CLIENTS)?;
    print("64 log-ins", begin.elapsed(), server.pid(), path)?;
    let seen = Clients::connect(&sessions, Workload::Refresh)?.ask_for(LOAD)?;
    print(&format!("{} refreshes by 64 clients", seen.in_time), LOAD, server.pid(), path)
}

fn print(what: &str, time: Duration, pid: u32, path: &Path) -> Result<(), Failure> {
    let (memory, file_kib) = (Memory::of(pid)?, fs::metadata(path)?.len() / 1024);
    let (time, now_kib, peak_kib) = (time.as_secs_f64() * 1e3, memory.now_kib, memory.peak_kib);
    println!("| {what:<44} | {time:>6.0} ms | {now_kib:>8} | {peak_kib:>8} | {file_kib:>8} |");
    Ok(())
}

fn users() -> u64 {
    SESSIONS.div_ceil(SESSIONS_PER_USER)
}

fn session(number: u64) -> Session {
    let user = User {
        name: String::new(),
        role: Role::User,
        disabled: false,
        auth_epoch: 0,
        created: now().system,
        password_hash: PasswordHash(String::new()),
    };
    let age_secs = if number % EXPIRED_ONE_IN == 0 { POLICY.inactivity_secs } else { 0 };
    let began = Now::at(UnixMillis(now().system.0 - age_secs * 1000));
    Session::begin(&user, 1, ADDRESS, "Firefox on Linux", began, &POLICY)
}

/// The number of a session that has not expired, another one for each visit.
fn living(visit: u64) -> u64 {
    // Odd and no multiple of five, so it has no factor in common with a million, and reaches each number once.
    const STEP: u64 = 617_423;
    let number = visit * STEP % SESSIONS;
    // Those with a remainder of 0 have expired; their neighbours may be visited twice.
    if number % EXPIRED_ONE_IN == 0 { number + 1 } else { number }
}

fn id_of(number: u64) -> SessionId {
    SessionId::new(user_of(number), scattered(number).to_be_bytes())
}

fn user_of(number: u64) -> UserId {
    UserId(scattered(!(number / SESSIONS_PER_USER)))
}

/// A number that looks random and is the same every time: the mixing step of SplitMix64, which maps no two to one.
fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    Now::at(UnixMillis(u64::try_from(since_epoch.as_millis()).expect("milliseconds fit for a long time")))
}
