//! A program that asks once and is killed on the way: `killed FILE POINT STARTS`.
//!
//! POINT is where it kills itself, or `never`. STARTS says how often it was started before: each start is a minute later
//! by the wall clock, and where the client would wait, time passes, because no request outlives its program here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_client::{Client, Clock, FileStore, Moment, OpenStore, Saved, SessionStore, StoreError};

/// Every point of a refresh, in order.
const POINTS: [&str; 7] = [
    "opened",
    "before-first-write",
    "after-first-write",
    "sent",
    "answered",
    "before-second-write",
    "after-second-write",
];

fn reached(point: &str) {
    if std::env::args().nth(2).as_deref() == Some(point) {
        let kill = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()));
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// A file that is killed at.
struct Store(FileStore);

struct Open<'a>(Box<dyn OpenStore + 'a>, AtomicU64);

impl SessionStore for Store {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        self.0.read()
    }
    fn open(&self) -> Result<Box<dyn OpenStore + '_>, StoreError> {
        let open = self.0.open()?;
        reached("opened");
        Ok(Box::new(Open(open, AtomicU64::new(0))))
    }
}

impl OpenStore for Open<'_> {
    fn read(&self) -> Result<Option<Saved>, StoreError> {
        self.0.read()
    }
    fn write(&mut self, saved: &Saved) -> Result<(), StoreError> {
        let [before, after] = if self.1.fetch_add(1, Ordering::Relaxed) == 0 {
            ["before-first-write", "after-first-write"]
        } else {
            ["before-second-write", "after-second-write"]
        };
        reached(before);
        self.0.write(saved)?;
        reached(after);
        Ok(())
    }
    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.clear()
    }
}

struct PassingClock(AtomicU64);

impl Clock for PassingClock {
    fn now(&self) -> Moment {
        Moment::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn unix_secs(&self) -> u64 {
        1_800_000_000 + self.now().as_millis() / 1000
    }
    fn wait_until(&self, moment: Moment) {
        self.0.fetch_max(moment.as_millis(), Ordering::Relaxed);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let starts: u64 = arguments[3].parse().expect("the third argument is a number");
    assert!(
        arguments[2] == "never" || POINTS.contains(&arguments[2].as_str()),
        "{} is no point",
        arguments[2]
    );
    let client = Client::builder()
        .store(Store(FileStore::new(&arguments[1])))
        .clock(PassingClock(AtomicU64::new(starts * 60_000)))
        .trace(|event| {
            let line = event.to_string();
            if line.starts_with("← 200") && line.contains("access token") {
                reached("answered");
            } else if line.starts_with("→ POST /api/auth/refresh") {
                // It is on its way by the time the signal takes effect, or it is not: both happen.
                std::thread::spawn(|| reached("sent"));
            }
        })
        .build()
        .unwrap();
    println!("{}", client.get("/api/me").unwrap().text());
}
