//! Secrets are planted everywhere, everything is done with them, and what the server logs, refuses and prints is searched.
//!
//! Besides, whatever test starts a server or a command looks for the like in its log and its complaints when it ends.

use std::fs;
use std::process::Output;

use latchkey::administration::{Command, ResetCode};
use latchkey::api;
use latchkey::keys::Keys;
use latchkey::password::Password;
use latchkey::user::{PasswordHash, Role};
use latchkey_client::Saved;
use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{Server, Setup, Tokens, secret_in};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

const PLANTED: &str = "planted-Password-1 for the search";
const NEW: &str = "planted-Password-2 for the search";
const WRONG: &str = "planted-Password-3 for the search";
const RETRY_KEY: &str = "planted-retry-key-0123456789";
const METHOD: &str = "planted-method-01234";

/// What was said where anybody may read it, and the secrets that must not be in it.
struct Search {
    server: Server,
    said: Vec<String>,
    secrets: Vec<String>,
}

impl Search {
    /// An answer: the whole of a refusal, and the fields of any but those that hand out a token.
    fn heard(&mut self, answer: Answer) -> Answer {
        let fields = answer.fields.iter().filter(|(name, _)| name != "set-cookie");
        self.said.extend(fields.map(|(name, value)| format!("{name}: {value}")));
        if answer.status >= 400 {
            self.said.push(answer.body.clone());
        }
        answer
    }

    fn send(&mut self, request: Request) -> Answer {
        let answer = self.server.send(request);
        self.heard(answer)
    }

    fn refresh(&mut self, token: &str) -> Answer {
        let answer = self.server.refresh(token, Some(RETRY_KEY));
        self.heard(answer)
    }

    fn sign_in(&mut self, name: &str, password: &str) -> Tokens {
        let answer = self.send(Request::login(name, password));
        assert_eq!(answer.status, 200, "{}", answer.status);
        let tokens = Tokens::from(&answer);
        self.secrets.extend([tokens.access.clone(), tokens.refresh.clone()]);
        tokens
    }

    fn run(&mut self, arguments: &[&str], input: &str) -> Output {
        let output = self.server.run_with_input(arguments, input);
        self.said
            .extend([&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()));
        output
    }
}

#[test]
fn no_secret_is_told_by_logs_errors_and_answers() {
    let server = Setup::new(SERVER).with("GRACE_SECS", 0).with_every_log_line().start();
    let secrets = [PLANTED, NEW, WRONG, RETRY_KEY, METHOD, "$argon2"].map(str::to_owned).to_vec();
    let mut search = Search { server, said: Vec::new(), secrets };

    // The first administrator, and a user with each of a password and a code.
    let code = search.server.set_up_code();
    search.secrets.push(code.clone());
    let body = json!({"code": code, "username": "ada", "password": PLANTED});
    search.send(
        Request::post("/api/setup").json(&json!({"code": WRONG, "username": "ada", "password": PLANTED})),
    );
    assert_eq!(search.send(Request::post("/api/setup").json(&body)).status, 200);
    assert_eq!(search.send(Request::post("/api/setup").json(&body)).status, 403);
    let admin = search.sign_in("ada", PLANTED);
    let add = |name: &str, password: Option<&str>| {
        Request::post("/api/admin/users")
            .bearer(&admin.access)
            .json(&json!({"username": name, "password": password}))
    };
    assert_eq!(search.send(add("alice", Some(PLANTED))).status, 201);
    assert_eq!(search.send(add("alice", Some(PLANTED))).status, 409);
    assert_eq!(search.send(add("carol", Some(&format!("carol {PLANTED}"))).bearer(WRONG)).status, 400);
    let added = search.send(add("bob", None));
    let code = added.json()["reset"]["code"].as_str().expect("a code").to_owned();
    search.secrets.push(code.clone());
    for code in [WRONG, &code, &code] {
        let body = json!({"username": "bob", "code": code, "new": NEW});
        search.send(Request::post("/api/auth/reset").json(&body));
    }

    // Log-ins that fail in every way, with the password where it does not belong.
    for (name, password) in
        [("alice", WRONG), ("nobody", WRONG), (PLANTED, PLANTED), ("alice", &WRONG.repeat(9))]
    {
        search.send(Request::login(name, password));
    }
    for body in [
        format!("{{\"{PLANTED}\""),
        format!("{{\"username\":\"alice\",\"{PLANTED}\":1}}"),
        format!("[\"{PLANTED}\"]"),
    ] {
        search.send(Request::post("/api/auth/login").body("application/json", body.as_bytes()));
    }
    search.send(
        Request::get(&format!("/api/admin/users?{}=1", "planted-retry-key-0123456789")).bearer(&admin.access),
    );
    search.send(Request::get(&format!("/{RETRY_KEY}")));
    search.send(Request::new(RETRY_KEY, "/api/me"));
    search.send(Request::new(METHOD, &format!("/api/auth/sessions/{RETRY_KEY}")));
    search.send(Request::get("/api/me").field("X-Planted", WRONG).field("Bad Name", WRONG));

    // A session's whole life, a reuse and forged tokens included.
    let alice = search.sign_in("alice", PLANTED);
    let rotated = search.refresh(&alice.refresh);
    let rotated = Tokens::from(&rotated);
    search.secrets.extend([rotated.access.clone(), rotated.refresh.clone()]);
    let change = |current: &str, new: &str| {
        Request::post("/api/auth/password").json(&json!({"current": current, "new": new}))
    };
    search.send(change(WRONG, NEW).bearer(&rotated.access));
    search.send(change(PLANTED, "alice").bearer(&rotated.access));
    assert_eq!(search.send(change(PLANTED, NEW).bearer(&rotated.access)).status, 204);
    search.refresh(&alice.refresh);
    let ended = search.server.refresh(&alice.refresh, None);
    assert_eq!(search.heard(ended).status, 401);
    for forged in [format!("A{}", &rotated.refresh[1..]), rotated.refresh[..71].to_owned(), "x".repeat(72)] {
        search.refresh(&forged);
    }
    for forged in [format!("{}x", rotated.access), rotated.refresh.clone(), rotated.access.replace('.', "..")]
    {
        search.send(Request::get("/api/me").bearer(&forged));
    }
    search.send(
        Request::post("/api/auth/refresh").json(&json!({"refresh_token": rotated.refresh, "x": WRONG})),
    );
    search.send(Request::post("/api/auth/logout").field("Cookie", &search.server.cookie(&rotated.refresh)));
    let alice = search.sign_in("alice", NEW);
    search.send(Request::post("/api/auth/logout-all").bearer(&alice.access));
    search.send(Request::get("/api/auth/verify").field("Cookie", &search.server.cookie(&alice.refresh)));

    // Commands, beside the running server and without it.
    let commands: [(&[&str], &str); 15] = [
        (&["check"], ""),
        (&["user", "list"], ""),
        (&["user", "show", "alice", "--json"], ""),
        (&["user", "add", "dora", "--password-stdin"], WRONG),
        (&["user", "add", "dora", "--password-stdin"], WRONG),
        (&["user", "passwd", "dora", "--password-stdin"], "dora"),
        (&["user", "passwd", "dora", "--password-stdin"], PLANTED),
        (&["session", "list"], ""),
        (&["key", "list"], ""),
        (&["key", "rotate"], ""),
        (&["audit", "tail"], ""),
        (&["audit", "tail", "--refusals", "--json"], ""),
        (&["audit", "verify"], ""),
        (&["stats"], ""),
        (&["backup", "copy.redb"], ""),
    ];
    for (arguments, input) in commands {
        search.run(arguments, input);
    }
    search.server.kill();
    for (arguments, input) in commands {
        search.run(arguments, input);
    }
    for token in [&rotated.access, &rotated.refresh, &format!("{}x", rotated.access)] {
        let output = search.server.run_with_input(&["token", "verify"], token);
        search.said.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    search.server.start();
    search.sign_in("dora", PLANTED);

    let keys = fs::read_to_string(search.server.data().join("keys")).unwrap();
    search.secrets.extend(
        keys.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|word| word.len() == 43)
            .map(str::to_owned),
    );
    assert!(search.secrets.len() > 15, "two keys, twelve tokens, two codes and what was planted");
    let log = search.server.log();
    assert!(
        log.contains("GET /api/admin/users -> 400"),
        "the log says what is asked for, in its own words: {log}"
    );
    search.said.push(log);
    for text in &search.said {
        for secret in &search.secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is told by: {text}");
        }
        assert_eq!(secret_in(text), None, "{text}");
    }
}

/// A refresh token, as long as one of ours.
const TOKEN: &str = "planted-token-0123456789012345678901234567890123456789012345678901234567";

/// A retry key of our client.
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn whatever_holds_a_secret_shows_none_of_it_in_debug() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::create(&folder.path().join("keys")).unwrap();
    let password = || Password::new(PLANTED.to_owned());
    let login = json!({"username": "alice", "password": PLANTED}).to_string();
    let saved = json!({
        "version": 1, "origin": "http://127.0.0.1:8080", "user": "alice", "session": "AAAAAAAAAAAAAAAAAAAAAA",
        "refresh_token": TOKEN, "retry_key": KEY, "unanswered": false,
    });
    let request = api::Request {
        id: "",
        method: api::Method::Post,
        path: "/",
        query: PLANTED,
        fields: &[("authorization", PLANTED), ("cookie", PLANTED)],
        body: PLANTED.as_bytes(),
        client: [127, 0, 0, 1].into(),
        is_forwarded: false,
    };
    let (name, role) = (String::new(), Role::User);
    let shown = [
        format!("{:?}", password()),
        format!("{:?}", PasswordHash(PLANTED.to_owned())),
        format!("{:?}", Command::AddUser { name: name.clone(), role, password: password() }),
        format!("{:?}", Command::SetPassword { name, password: password() }),
        format!("{:?}", ResetCode { code: PLANTED.to_owned(), expires: 0 }),
        format!("{:?}", serde_json::from_str::<api::LoginBody>(&login).unwrap()),
        format!("{request:?}"),
        format!("{:?}", api::Response::json(&json!({"access_token": PLANTED}))),
        format!("{:?}", Saved::from_json(saved.to_string().as_bytes()).unwrap()),
        format!("{keys:?} {:?} {:?}", keys.access(), keys.refresh(1)),
        format!("{:?} {:?}", keys.signing_audit_key(), keys.signing_code_key()),
    ];
    for shown in shown {
        // Bytes of a secret would be a list of numbers, such as these of "planted".
        for secret in [PLANTED, TOKEN, KEY, "112, 108", "70, 6C"] {
            assert!(!shown.contains(secret), "{secret} is shown: {shown}");
        }
        assert_eq!(secret_in(&shown), None, "{shown}");
        let numbers = shown.matches(',').count();
        assert!(numbers < 8, "that may be the bytes of a key: {shown}");
    }
}
