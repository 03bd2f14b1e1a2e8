//! kill -9 in a loop under load: what a client was told is true after every restart, and no session is lost.
//!
//! `LATCHKEY_KILL_RUNS` sets the number of kills: five unless it is set, a hundred in `.ci/full`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use latchkey_tests::http::Request;
use latchkey_tests::server::{Server, Setup, Tokens};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const CLIENTS: u64 = 8;

fn kills() -> u64 {
    std::env::var("LATCHKEY_KILL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5)
}

/// A client that refreshes as fast as it can, and goes on with the last token that reached it.
struct Refresher {
    token: String,
    address: std::net::SocketAddr,
    number: u64,
    acknowledged: u64,
}

impl Refresher {
    /// The retry key of the token that is held: one a token, whatever became of its request.
    fn retry_key(&self) -> String {
        format!("client-{}-rotation-{:08}", self.number, self.acknowledged)
    }

    /// One rotation, tried with the same retry key until there is an answer.
    fn rotate(&mut self, stop: &AtomicBool) {
        let key = self.retry_key();
        let cookie = format!("latchkey-dev-{}={}", self.address.port(), self.token);
        while !stop.load(Ordering::Relaxed) {
            let request =
                Request::post("/api/auth/refresh").field("Cookie", &cookie).field("Idempotency-Key", &key);
            let Ok(answer) = request.try_send(self.address) else {
                thread::sleep(Duration::from_millis(2)); // the server is being started again
                continue;
            };
            if answer.status == 503 {
                continue; // it is on its way down
            }
            assert_eq!(answer.status, 200, "client {} was signed out: {answer:?}", self.number);
            self.token = Tokens::from(&answer).refresh;
            self.acknowledged += 1;
            return;
        }
    }
}

#[test]
fn no_kill_loses_an_acknowledged_rotation() {
    let mut server = Setup::new(SERVER).with("GRACE_SECS", 0).with("ARGON2_PROFILE", "low-memory").start();
    server.add_user("alice");
    let stop = AtomicBool::new(false);
    let clients: Vec<Refresher> = (0..CLIENTS)
        .map(|number| Refresher {
            token: server.login("alice").refresh,
            address: server.address(),
            number,
            acknowledged: 0,
        })
        .collect();
    let clients: Vec<Refresher> = thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        client.rotate(stop);
                    }
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
        let alive = server.refresh(&client.token, Some(&client.retry_key()));
        assert_eq!(alive.status, 200, "client {}: {alive:?}", client.number);
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
