//! kill -9 in a loop under load: what a client was told is true after every restart, and no session is lost.
//!
//! `LATCHKEY_KILL_RUNS` sets the number of kills: five unless it is set, a hundred in `.ci/full`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use latchkey_tests::refresher::Refresher;
use latchkey_tests::server::{Server, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const CLIENTS: u64 = 8;

fn kills() -> u64 {
    std::env::var("LATCHKEY_KILL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5)
}

#[test]
fn no_kill_loses_an_acknowledged_rotation() {
    let mut server = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    let stop = AtomicBool::new(false);
    let clients: Vec<Refresher> = (0..CLIENTS).map(|number| Refresher::signed_in(&server, number)).collect();
    let clients: Vec<Refresher> = thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let stop = &stop;
                scope.spawn(move || {
                    client.run(stop);
                    client
                })
            })
            .collect();
        for kill in 0..kills() {
            // Not a wait for anything: the kill has to come at another moment each time.
            thread::sleep(Duration::from_millis(50 + kill * 37 % 200));
            server.kill();
            server.start();
        }
        stop.store(true, Ordering::Relaxed);
        running.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let total = clients.iter().map(|client| client.acknowledged).sum::<u64>();
    for client in clients {
        client.assert_alive(&server);
    }
    assert_no_surprises(&server);
    assert!(total > kills(), "{total} rotations are no load");
    println!("{} kills, {total} acknowledged rotations, 0 lost", kills());
}

/// No reuse was seen, for every client was honest, and the log is whole after all those deaths.
fn assert_no_surprises(server: &Server) {
    assert!(!server.log().contains("a spent refresh token"), "{}", server.log());
    assert!(server.run(&["audit", "verify"]).status.success());
}
