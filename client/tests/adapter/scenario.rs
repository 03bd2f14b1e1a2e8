//! A client that is signed in, and servers for it to meet.

use std::sync::{Arc, Mutex};

use latchkey_client::{Builder, Client, FileStore};

use crate::scripted::{Asked, JumpingClock, Reply, Responder, json, problem, tokens};

/// Something that can happen to a refresh.
pub(crate) type Setback = fn() -> Reply;

pub(crate) const REFRESH: &str = "/api/auth/refresh";

/// A client that is signed in to a responder, and what it tells.
pub(crate) struct Scenario {
    pub(crate) client: Client,
    pub(crate) responder: Responder,
    pub(crate) clock: JumpingClock,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) trace: Arc<Mutex<Vec<String>>>,
}

impl Scenario {
    /// Signed in with access token `a-1` and refresh token `b…`; `reply` answers everything but the log-in.
    pub(crate) fn signed_in(reply: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(|builder| builder, reply)
    }

    pub(crate) fn with(
        build: impl FnOnce(Builder) -> Builder,
        reply: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let responder = Responder::start(move |number, asked| match asked.path.as_str() {
            "/api/auth/login" => tokens("a-1", 'b', true),
            _ => reply(number - 1, asked),
        });
        let folder = tempfile::tempdir().unwrap();
        let (clock, trace) = (JumpingClock::default(), Arc::new(Mutex::new(Vec::new())));
        let lines = Arc::clone(&trace);
        let builder = Client::builder()
            .store(FileStore::new(folder.path().join("session.json")))
            .clock(clock.clone())
            .trace(move |event| lines.lock().unwrap().push(event.to_string()));
        let client = build(builder).build().unwrap();
        client.login(&responder.url, "ada", "correct horse battery").unwrap();
        trace.lock().unwrap().clear();
        Self { client, responder, clock, folder, trace }
    }

    /// A second client on the same file, as the next run of the program.
    pub(crate) fn restarted(&self) -> Client {
        Client::builder().store(self.store()).clock(self.clock.clone()).build().unwrap()
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::new(self.folder.path().join("session.json"))
    }

    pub(crate) fn state(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.folder.path().join("session.json")).unwrap()).unwrap()
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.lock().unwrap().join("\n")
    }
}

/// Answers `me` to the access token `good` and 401 to any other.
pub(crate) fn me(asked: &Asked, good: &str) -> Reply {
    if asked.header("authorization") == format!("Bearer {good}") {
        json(200, r#"{"name":"ada"}"#)
    } else {
        problem(401, "invalid_token", "refresh")
    }
}

/// A server that has made `a-1` expire, and meets the first refreshes with `setbacks`.
pub(crate) fn after_setbacks(setbacks: Vec<Setback>) -> impl Fn(usize, &Asked) -> Reply + Send + Sync {
    let setbacks = Mutex::new(setbacks.into_iter());
    move |_, asked| match asked.path.as_str() {
        REFRESH => setbacks.lock().unwrap().next().map_or_else(|| tokens("a-2", 'c', true), |reply| reply()),
        _ => me(asked, "a-2"),
    }
}

pub(crate) fn portal() -> Reply {
    Reply::Answer(200, "Content-Type: text/html\r\n", "<html>Welcome to the hotel</html>".into())
}
