//! A client that refreshes without end and knows what it was told, whatever becomes of the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::http::Request;
use crate::server::{Server, Tokens};

/// A client that refreshes as fast as it can, and goes on with the last token that reached it.
#[derive(Debug)]
pub struct Refresher {
    token: String,
    address: SocketAddr,
    number: u64,
    /// Rotations whose answer has reached it.
    pub acknowledged: u64,
}

impl Refresher {
    /// Signs in as alice.
    pub fn signed_in(server: &Server, number: u64) -> Self {
        Self { token: server.login("alice").refresh, address: server.address(), number, acknowledged: 0 }
    }

    /// The retry key of the token that is held: one a token, whatever became of its request.
    fn retry_key(&self) -> String {
        format!("client-{}-rotation-{:08}", self.number, self.acknowledged)
    }

    /// Rotates until it is told to stop.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.rotate(stop);
        }
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

    /// Asserts that the session is there, with all that was acknowledged.
    pub fn assert_alive(&self, server: &Server) {
        let alive = server.refresh(&self.token, Some(&self.retry_key()));
        assert_eq!(alive.status, 200, "client {}: {alive:?}", self.number);
    }
}
