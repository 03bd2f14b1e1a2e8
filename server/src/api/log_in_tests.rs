//! What a stranger sees: nothing of the throttle that tells who has an account or where somebody is signed in, and neither
//! readiness nor counters.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::clock::Uptime;
use crate::command::{self, NewUser};
use crate::folder;
use crate::hasher::Profile;
use crate::password::Password;
use crate::settings::Given;
use crate::throttle::FREE_PER_ACCOUNT;
use crate::user::{Role, UserId};

const PASSWORD: &str = "correct horse battery staple";
const WRONG: &str = "wrong wrong wrong wrong";

/// The network that alice has signed in from, and an address in it that she has never had.
const HOME: &str = "2001:db8:1:1::1";
const ALSO_HOME: &str = "2001:db8:1:1::2";
const AWAY: [&str; 3] = ["2001:db8:1:2::1", "2001:db8:2:1::1", "203.0.113.7"];

/// A server without sockets, with alice, who has a session at home, and with a clock of the throttle's that is moved by
/// hand.
struct Scene {
    app: App,
    clock: Arc<AtomicU64>,
    _folder: TempDir,
}

/// What can be seen of an answer: its status, how long it says to wait, and its body but for the request's id.
type Seen = (u16, Option<String>, Value);

fn get<'a>(path: &'a str, from: &str) -> Request<'a> {
    let client: IpAddr = from.parse().unwrap();
    let (id, method) = ("0000000000000000", Method::Get);
    Request { id, method, path, query: "", fields: &[], body: &[], client, is_forwarded: false }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data").to_str().unwrap().to_owned();
        let given = Given::gather([("LATCHKEY_DATA", data)], [], Path::new("/nowhere/.env")).unwrap();
        let settings = given.resolve().unwrap();
        let opened = folder::open(&settings, |_| {}).unwrap();
        let clock = Clock::starting_at(opened.store.highest_time_seen().unwrap());
        let public_url = PublicUrl::parse("https://auth.example.com").unwrap();
        let app = App {
            day: Day::starting_at(clock.now().system),
            clock,
            store: opened.store,
            keys: KeyRing::new(settings.key_file.clone(), opened.keys),
            hasher: Hasher::new(8, Profile::Least),
            password_chars_min: 15,
            policy: settings.policy,
            tokens: TokenTerms { issuer: "us".to_owned(), audience: "us".to_owned(), access_ttl_secs: 600 },
            cookie: RefreshCookie::new(&public_url),
            public_url,
            allowed_origins: Vec::new(),
            throttle: Throttle::default(),
            metrics: Arc::default(),
            routes: Routes::default(),
            monitors: settings.monitors,
            notices: Arc::default(),
            in_force: InForce::default(),
        };
        let mut scene = Self { app, clock: Arc::default(), _folder: folder };
        scene.add_alice();
        scene.forget();
        assert_eq!(scene.log_in("alice", PASSWORD, HOME).0, 200);
        scene
    }

    fn add_alice(&self) {
        let password_hash = self.app.hasher.hash(&Password::new(PASSWORD.to_owned())).unwrap();
        let name = "alice".parse().unwrap();
        let new = NewUser { id: UserId(1), name, role: Role::User, password_hash };
        let now = self.app.clock.now();
        self.app.store.write(move |writes| command::add_user(writes, new, None, now)).unwrap().unwrap();
    }

    /// Begins with a throttle that has counted nothing.
    fn forget(&mut self) {
        let clock = Arc::clone(&self.clock);
        let now = move || Uptime::default().plus_millis(clock.load(Ordering::Relaxed));
        self.app.throttle = Throttle::new(now, Duration::from_secs(60));
    }

    fn post(&self, path: &str, fields: &[(&str, &str)], body: &Value, from: &str) -> Seen {
        let fields = [&[("content-type", "application/json")], fields].concat();
        let body = body.to_string();
        let request =
            Request { method: Method::Post, fields: &fields, body: body.as_bytes(), ..get(path, from) };
        let response = self.app.answer(&request).wait(&self.app);
        let wait = response.fields.iter().find(|(name, _)| *name == "Retry-After");
        let body = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, wait.map(|(_, secs)| secs.to_string()), body)
    }

    fn log_in(&self, name: &str, password: &str, from: &str) -> Seen {
        self.post("/api/auth/login", &[], &json!({"username": name, "password": password}), from)
    }

    /// What a series of failing log-ins sees, each after a pause of milliseconds.
    fn seen(&mut self, name: &str, attempts: &[(&str, u64)]) -> Vec<Seen> {
        self.forget();
        let seen = attempts.iter().map(|(from, pause)| {
            self.clock.fetch_add(*pause, Ordering::Relaxed);
            self.log_in(name, WRONG, from)
        });
        seen.collect()
    }
}

#[test]
fn whoever_does_not_know_the_password_sees_the_same_for_known_and_unknown_names() {
    let scene = std::cell::RefCell::new(Scene::new());
    let place = prop::sample::select([&[HOME, ALSO_HOME][..], &AWAY].concat());
    let pause = prop::sample::select(vec![0, 0, 0, 0, 400, 1000, 4000, 61_000]);
    let attempts = prop::collection::vec((place, pause), 1..60);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    });
    let same = |attempts: Vec<(&str, u64)>| {
        let mut scene = scene.borrow_mut();
        prop_assert_eq!(scene.seen("alice", &attempts), scene.seen("nobody", &attempts));
        Ok(())
    };
    runner.run(&attempts, same).unwrap();
}

#[test]
fn six_failures_at_home_and_one_elsewhere_look_the_same_for_a_name_that_nobody_has() {
    let mut scene = Scene::new();
    let attempts = [(HOME, 0), (HOME, 0), (HOME, 0), (HOME, 0), (HOME, 0), (HOME, 0), (AWAY[2], 0)];
    let statuses = |seen: Vec<Seen>| seen.into_iter().map(|(status, ..)| status).collect::<Vec<_>>();
    let known = statuses(scene.seen("alice", &attempts));
    assert_eq!(known, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(known, statuses(scene.seen("nobody", &attempts)));
}

#[test]
fn in_the_network_of_a_living_session_the_right_password_is_let_in_while_strangers_have_to_wait() {
    let mut scene = Scene::new();
    scene.seen("alice", &[(AWAY[2], 0); FREE_PER_ACCOUNT as usize]);
    for away in AWAY {
        assert_eq!(scene.log_in("alice", PASSWORD, away).0, 429, "{away}");
    }
    assert_eq!(scene.log_in("alice", PASSWORD, HOME).0, 200);
    assert_eq!(scene.log_in("alice", PASSWORD, ALSO_HOME).0, 200, "one /64 is one network");
}

#[test]
fn a_neighbour_in_the_same_network_guesses_no_faster_and_takes_the_second_chances() {
    let mut scene = Scene::new();
    scene.seen("alice", &[(AWAY[2], 0); FREE_PER_ACCOUNT as usize]);
    for _ in 0..FREE_PER_ACCOUNT {
        assert_eq!(scene.log_in("alice", WRONG, ALSO_HOME).0, 429);
    }
    let (status, wait, _) = scene.log_in("alice", PASSWORD, HOME);
    assert_eq!((status, wait.as_deref()), (429, Some("1")));
    scene.clock.fetch_add(1000, Ordering::Relaxed);
    assert_eq!(scene.log_in("alice", PASSWORD, HOME).0, 200);
}

#[test]
fn the_bearer_of_a_living_session_changes_the_password_wherever_they_are() {
    let mut scene = Scene::new();
    let (_, _, granted) = scene.log_in("alice", PASSWORD, HOME);
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let names: Vec<_> = (0..30).map(|n| format!("name-{n}")).collect();
    scene.seen("alice", &[(AWAY[1], 0); FREE_PER_ACCOUNT as usize]);
    names.iter().for_each(|name| drop(scene.log_in(name, WRONG, AWAY[2])));
    assert_eq!(scene.log_in("another", WRONG, AWAY[2]).0, 429, "the address has to wait");
    let change = |current: &str, from: &str| {
        let body = json!({"current": current, "new": "another long pass phrase"});
        scene.post("/api/auth/password", &[("authorization", &bearer)], &body, from)
    };
    assert_eq!(change(WRONG, AWAY[2]).0, 403);
    assert_eq!(change(PASSWORD, AWAY[2]).0, 204);
}

#[test]
fn a_listed_monitor_sees_readiness_and_counters_and_its_neighbour_does_not() {
    let mut scene = Scene::new();
    let status = |scene: &Scene, request: Request<'_>| scene.app.answer(&request).wait(&scene.app).status;
    for path in ["/readyz", "/metrics"] {
        let by_a_name = [("host", "10.244.0.9:8080")];
        let from = |address| Request { fields: &by_a_name, ..get(path, address) };
        assert_eq!(status(&scene, from("10.0.0.5")), 404, "nobody is listed");
        scene.app.monitors = Networks::parse("10.0.0.0/30, 10.0.0.5").unwrap();
        assert_eq!(status(&scene, from("10.0.0.5")), 200);
        assert_eq!(status(&scene, from("::ffff:10.0.0.5")), 200);
        assert_eq!(status(&scene, from("10.0.0.4")), 404);
        assert_eq!(status(&scene, Request { is_forwarded: true, ..from("10.0.0.5") }), 404);
        assert_eq!(status(&scene, from("127.0.0.1")), 404, "this machine is asked by its own name");
        assert_eq!(status(&scene, get(path, "127.0.0.1")), 200);
        scene.app.monitors = Networks::default();
    }
}

#[test]
fn right_log_ins_at_once_are_all_let_in() {
    let scene = Scene::new();
    for _ in 0..20 {
        std::thread::scope(|scope| {
            let log_ins: Vec<_> =
                (0..8).map(|_| scope.spawn(|| scene.log_in("alice", PASSWORD, AWAY[0]).0)).collect();
            for log_in in log_ins {
                assert_eq!(log_in.join().unwrap(), 200);
            }
        });
    }
}
