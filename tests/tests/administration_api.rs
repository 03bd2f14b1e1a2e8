//! What administrators do over HTTP: users, sessions, the audit log and the numbers; and who may.

use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens};
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// A server and the session of its administrator.
struct Office {
    server: Server,
    root: Tokens,
}

impl Office {
    fn open() -> Self {
        let server = Setup::new(SERVER).start();
        server.add_admin("root");
        let root = server.login("root");
        Self { server, root }
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.server.get(path, &self.root.access);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::new(method, path).bearer(&self.root.access);
        self.server.send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
    }

    fn add(&self, name: &str) -> String {
        let added =
            self.send("POST", "/api/admin/users", Some(json!({"username": name, "password": PASSWORD})));
        assert_eq!(added.status, 201, "{added:?}");
        added.json()["id"].as_str().unwrap().to_owned()
    }

    fn root_id(&self) -> String {
        self.get("/api/me")["user"]["id"].as_str().unwrap().to_owned()
    }
}

/// Every endpoint of administration, with a method it has.
const ENDPOINTS: [(&str, &str); 11] = [
    ("GET", "/api/admin/users"),
    ("POST", "/api/admin/users"),
    ("GET", "/api/admin/users/0000000000000001"),
    ("PATCH", "/api/admin/users/0000000000000001"),
    ("DELETE", "/api/admin/users/0000000000000001"),
    ("POST", "/api/admin/users/0000000000000001/reset"),
    ("DELETE", "/api/admin/users/0000000000000001/sessions"),
    ("GET", "/api/admin/sessions"),
    ("DELETE", "/api/admin/sessions/AAAAAAAAAAAAAAAAAAAAAA"),
    ("GET", "/api/admin/audit"),
    ("GET", "/api/admin/stats"),
];

#[test]
fn administration_is_for_administrators_only() {
    let office = Office::open();
    office.add("alice");
    let alice = office.server.login("alice");
    for (method, path) in ENDPOINTS {
        let send = |request: Request| office.server.send(request.json(&json!({})));
        send(Request::new(method, path)).assert_refused(401, "missing_token", "refresh");
        let refused = send(Request::new(method, path).bearer(&alice.access));
        refused.assert_refused(403, "insufficient_scope", "none");
        let challenge = refused.field("www-authenticate").unwrap();
        assert_eq!(challenge, "Bearer realm=\"latchkey\", error=\"insufficient_scope\"");
        let cross_site =
            Request::new(method, path).bearer(&office.root.access).field("Origin", "https://evil.example");
        if method != "GET" {
            send(cross_site).assert_refused(403, "cross_site", "none");
        }
    }
}

#[test]
fn what_the_record_says_counts_and_not_the_token() {
    let office = Office::open();
    let id = office.add("alice");
    let path = format!("/api/admin/users/{id}");
    assert_eq!(office.send("PATCH", &path, Some(json!({"role": "admin"}))).json()["role"], "admin");
    let alice = office.server.login("alice");
    assert_eq!(office.server.get("/api/admin/users", &alice.access).status, 200);
    assert_eq!(office.send("PATCH", &path, Some(json!({"role": "user"}))).json()["role"], "user");
    let refused = office.server.get("/api/admin/users", &alice.access);
    refused.assert_refused(401, "invalid_token", "refresh");
}

#[test]
fn a_user_is_added_with_a_password_or_with_a_code_to_choose_one() {
    let office = Office::open();
    let with_password = json!({"username": "Zoë", "role": "admin", "password": PASSWORD});
    let added = office.send("POST", "/api/admin/users", Some(with_password.clone()));
    assert_eq!(added.status, 201);
    let added = added.json();
    assert_eq!(
        (&added["name"], &added["role"], &added["disabled"]),
        (&json!("Zoë"), &json!("admin"), &json!(false))
    );
    assert_eq!(added.get("reset"), None);
    assert_eq!(office.server.try_login("zoë", PASSWORD).status, 200);
    office.send("POST", "/api/admin/users", Some(with_password)).assert_refused(409, "name_taken", "none");

    let added = office.send("POST", "/api/admin/users", Some(json!({"username": "bob"}))).json();
    assert_eq!(added["role"], "user");
    let code = added["reset"]["code"].as_str().unwrap();
    let chosen = json!({"username": "bob", "code": code, "new": PASSWORD});
    assert_eq!(office.server.send(Request::post("/api/auth/reset").json(&chosen)).status, 204);
    assert_eq!(office.server.try_login("bob", PASSWORD).status, 200);

    for (body, code, status) in [
        (json!({"username": "carol", "password": "weak"}), "weak_password", 422),
        (json!({"username": "", "password": PASSWORD}), "bad_request", 400),
        (json!({"username": "carol", "role": "king"}), "bad_request", 400),
        (json!({"username": "carol", "role": {"admin": null}}), "bad_request", 400),
        (json!({"username": "carol", "id": "1"}), "bad_request", 400),
    ] {
        office.send("POST", "/api/admin/users", Some(body)).assert_refused(status, code, "none");
    }
    assert_eq!(office.get("/api/admin/users")["users"].as_array().unwrap().len(), 3);
}

#[test]
fn users_are_listed_by_name_searched_and_paged() {
    let office = Office::open();
    for n in 0..7 {
        office.server.add_user(&format!("Person {n}"));
    }
    office.server.add_user("Straße");
    let names = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().unwrap();
        users.iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = office.get("/api/admin/users?search=PERSON&limit=3");
    assert_eq!(names(&first), ["Person 0", "Person 1", "Person 2"]);
    let cursor = first["next"].as_str().unwrap();
    let second = office.get(&format!("/api/admin/users?search=PERSON&limit=100&after={cursor}"));
    assert_eq!(names(&second), ["Person 3", "Person 4", "Person 5", "Person 6"]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(names(&office.get("/api/admin/users?search=stra%C3%9Fe")), ["Straße"]);
    assert_eq!(names(&office.get("/api/admin/users?search=STRASSE")), ["Straße"]);
    office.server.add_user("Zoë");
    assert_eq!(names(&office.get("/api/admin/users?search=zoe%CC%88")), ["Zoë"], "composed or not");
    assert_eq!(names(&office.get("/api/admin/users?search=nobody")), [""; 0]);
    assert_eq!(
        names(&office.get("/api/admin/users?search=$argon2id")),
        [""; 0],
        "by name and by nothing else"
    );
    assert_eq!(names(&office.get("/api/admin/users")).len(), 10);

    for query in ["limit=0", "limit=101", "limit=+5", "limit=x", "order=name", "search=a&search=b"] {
        office.send("GET", &format!("/api/admin/users?{query}"), None).assert_refused(
            400,
            "bad_request",
            "none",
        );
    }
}

#[test]
fn a_disabled_user_is_thrown_out_at_once_and_an_enabled_one_signs_in_again() {
    let office = Office::open();
    let id = office.add("alice");
    let alice = office.server.login("alice");
    let path = format!("/api/admin/users/{id}");
    assert_eq!(office.get(&path)["sessions"], 1);
    let disabled = office.send("PATCH", &path, Some(json!({"disabled": true}))).json();
    assert_eq!((&disabled["disabled"], &disabled["sessions"]), (&json!(true), &json!(0)));
    office.server.get("/api/me", &alice.access).assert_refused(401, "invalid_token", "refresh");
    office.server.refresh(&alice.refresh, None).assert_refused(401, "session_revoked", "login");
    assert_eq!(office.server.try_login("alice", PASSWORD).status, 401);
    assert_eq!(office.send("PATCH", &path, Some(json!({"disabled": false}))).status, 200);
    assert_eq!(office.server.try_login("alice", PASSWORD).status, 200);
}

#[test]
fn a_change_that_changes_nothing_ends_no_session() {
    let office = Office::open();
    let id = office.add("alice");
    let alice = office.server.login("alice");
    let path = format!("/api/admin/users/{id}");
    for body in [json!({}), json!({"role": "user"}), json!({"disabled": false})] {
        assert_eq!(office.send("PATCH", &path, Some(body)).json()["sessions"], 1);
    }
    assert_eq!(office.server.get("/api/me", &alice.access).status, 200);
    for body in [json!({"name": "x"}), json!({"disabled": "yes"}), json!({"role": "king"}), json!([])] {
        office.send("PATCH", &path, Some(body)).assert_refused(400, "bad_request", "none");
    }
}

#[test]
fn the_last_administrator_cannot_be_removed_in_any_way() {
    let office = Office::open();
    let root = format!("/api/admin/users/{}", office.root_id());
    let refuse = |answer: Answer| answer.assert_refused(409, "last_admin", "none");
    refuse(office.send("PATCH", &root, Some(json!({"disabled": true}))));
    refuse(office.send("PATCH", &root, Some(json!({"role": "user"}))));
    refuse(office.send("DELETE", &root, None));
    let second = office.add("second");
    let path = format!("/api/admin/users/{second}");
    office.send("PATCH", &path, Some(json!({"role": "admin"})));
    office.send("PATCH", &path, Some(json!({"disabled": true})));
    refuse(office.send("DELETE", &root, None));
    office.send("PATCH", &path, Some(json!({"disabled": false})));
    assert_eq!(office.send("DELETE", &root, None).status, 204);
    office.server.get("/api/me", &office.root.access).assert_refused(401, "invalid_token", "refresh");
}

#[test]
fn a_deleted_user_is_gone_with_every_session() {
    let office = Office::open();
    let id = office.add("alice");
    let alice = office.server.login("alice");
    let path = format!("/api/admin/users/{id}");
    assert_eq!(office.send("DELETE", &path, None).status, 204);
    office.server.refresh(&alice.refresh, None).assert_refused(401, "session_ended", "login");
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("DELETE", format!("{path}/sessions")),
        ("POST", format!("{path}/reset")),
        ("GET", "/api/admin/users/alice".to_owned()),
        ("GET", format!("/api/admin/users/{}", id.to_uppercase() + "0")),
    ] {
        office.send(method, &path, None).assert_refused(404, "not_found", "none");
    }
    office.send("PATCH", &path, Some(json!({"role": "user"}))).assert_refused(404, "not_found", "none");
}

#[test]
fn anybodys_sessions_are_listed_and_ended() {
    let office = Office::open();
    let alice_id = office.add("alice");
    office.add("bob");
    let alice: Vec<_> = (0..3).map(|_| office.server.login("alice")).collect();
    let bob = office.server.login("bob");

    let of_alice = office.get(&format!("/api/admin/sessions?user={alice_id}"));
    let rows = of_alice["sessions"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["user"] == json!({"id": alice_id, "name": "alice"})));
    assert!(rows.iter().all(|row| row["address"] == "127.0.0.1"));

    let mut all = Vec::new();
    let mut path = "/api/admin/sessions?limit=2".to_owned();
    loop {
        let page = office.get(&path);
        let rows = page["sessions"].as_array().unwrap();
        assert!(rows.len() <= 2);
        all.extend(rows.iter().map(|row| row["session"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/admin/sessions?limit=2&after={next}");
    }
    let mut expected: Vec<_> =
        alice.iter().chain([&bob, &office.root]).map(|tokens| tokens.session.clone()).collect();
    expected.sort_unstable();
    all.sort_unstable();
    assert_eq!(all, expected);

    let path = format!("/api/admin/sessions/{}", alice[0].session);
    assert_eq!(office.send("DELETE", &path, None).status, 204);
    office.send("DELETE", &path, None).assert_refused(404, "not_found", "none");
    office.server.get("/api/me", &alice[0].access).assert_refused(401, "invalid_token", "refresh");
    assert_eq!(office.server.get("/api/me", &alice[1].access).status, 200);

    let path = format!("/api/admin/users/{alice_id}/sessions");
    assert_eq!(office.send("DELETE", &path, None).status, 204);
    office.server.get("/api/me", &alice[1].access).assert_refused(401, "invalid_token", "refresh");
    assert_eq!(office.server.get("/api/me", &bob.access).status, 200);
    for query in ["user=alice", "after=x", "limit=1&limit=1"] {
        office.send("GET", &format!("/api/admin/sessions?{query}"), None).assert_refused(
            400,
            "bad_request",
            "none",
        );
    }
}

#[test]
fn the_audit_log_says_what_was_done_to_whom_by_whom() {
    let office = Office::open();
    let id = office.add("alice");
    let alice = office.server.login("alice");
    let user = format!("/api/admin/users/{id}");
    assert_eq!(office.send("DELETE", &format!("/api/admin/sessions/{}", alice.session), None).status, 204);
    assert_eq!(office.send("DELETE", &format!("{user}/sessions"), None).status, 204);
    assert_eq!(office.send("POST", &format!("{user}/reset"), None).status, 200);
    assert_eq!(office.send("PATCH", &user, Some(json!({"role": "admin"}))).status, 200);
    assert_eq!(office.send("PATCH", &user, Some(json!({"disabled": true}))).status, 200);
    let log = office.get("/api/admin/audit");
    let entries = log["entries"].as_array().unwrap();
    let brief: Vec<_> = entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or("-");
            format!("{} {} {}", text("event"), text("name"), text("by_name"))
        })
        .collect();
    let expected = [
        "user_disabled alice root",
        "role_changed alice root",
        "code_issued alice root",
        "sessions_revoked alice root",
        "session_revoked alice root",
        "signed_in alice -",
        "user_added alice root",
        "signed_in root -",
        "user_added root -",
    ];
    assert_eq!(brief, expected);
    assert_eq!(entries[0]["address"], "127.0.0.1");
    assert_eq!(entries[0]["session"], office.root.session, "the session it was done from");
    assert_eq!(entries[4]["session"], alice.session, "the session that was ended");

    let first = office.get("/api/admin/audit?limit=4");
    assert_eq!(first["entries"].as_array().unwrap()[..], entries[..4]);
    let second = office.get(&format!("/api/admin/audit?limit=100&before={}", first["next"]));
    assert_eq!(second["entries"].as_array().unwrap()[..], entries[4..]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(office.get("/api/admin/audit?before=0"), json!({"entries": [], "next": null}));

    office.server.try_login("alice", "wrong wrong wrong wrong");
    // A refused log-in waits for the next commit.
    office.add("bob");
    let refusals = office.get("/api/admin/audit?log=refusals");
    assert_eq!(refusals["entries"][0]["event"], "sign_in_refused");
    assert_eq!(refusals["entries"][0]["name"], "alice");
    for query in ["log=all", "before=-1", "before=", "limit=1000"] {
        office.send("GET", &format!("/api/admin/audit?{query}"), None).assert_refused(
            400,
            "bad_request",
            "none",
        );
    }
}

#[test]
fn the_numbers_of_the_last_day_are_counted() {
    let office = Office::open();
    office.server.refresh(&office.root.refresh, None);
    office.server.try_login("root", "wrong wrong wrong wrong");
    let stats = office.get("/api/admin/stats");
    assert_eq!((&stats["users"], &stats["sessions"]), (&json!(1), &json!(1)));
    let hours = stats["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    let total = |name: &str| hours.iter().map(|hour| hour[name].as_u64().unwrap()).sum::<u64>();
    // Within the grace period a refresh rotates nothing, and is none for the picture.
    assert_eq!((total("signed_in"), total("refused"), total("reused")), (1, 1, 0));
    assert!(stats["since"].as_u64().unwrap() >= hours[22]["start"].as_u64().unwrap());
}
