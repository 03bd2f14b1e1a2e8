//! What the gate makes of requests that stand at the edge of the RFCs, over the real binary: which pass, which are refused,
//! and how a refusal looks.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use latchkey_tests::http::{Request, exchange, loopback, statuses};
use latchkey_tests::server::{PASSWORD, Server, Setup};
use serde_json::json;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const APP: &str = "https://app.example.com";

fn get(server: &Server, line: &str, host: &str) -> Vec<u16> {
    statuses(&exchange(server.address(), format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n")))
}

#[test]
fn a_head_that_is_refused_gets_no_content() {
    let server = Setup::new(SERVER).start();
    let too_long = format!("/{}", "a".repeat(2048));
    for (target, host, status) in [("/", "", 400), (&*too_long, "a", 414), ("/nowhere", "a", 404)] {
        let answer = exchange(server.address(), format!("HEAD {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!((statuses(head), content), (vec![status], ""), "{answer}");
        assert!(!head.contains("Content-Length: 0") && head.contains("Content-Length: "), "{answer}");
        let got = exchange(server.address(), format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(got.ends_with('}') && statuses(&got) == [status], "{got}");
    }
}

#[test]
fn a_host_that_names_no_host_is_refused() {
    let server = Setup::new(SERVER).start();
    for host in ["a", "a:", "A.b:80", "[::1]", "[::1]:8080", "127.0.0.1:8080"] {
        assert_eq!(get(&server, "GET /healthz", host), [200], "{host}");
    }
    for host in [
        "",
        ":80",
        "h:80x",
        "[::1",
        "::1",
        "h:0",
        "h:65536",
        "a b",
        "a,b",
        "user@h",
        "h/",
        "h:80:80",
        "a\r\nHost: a",
    ] {
        assert_eq!(get(&server, "GET /healthz", host), [400], "{host}");
    }
}

#[test]
fn a_target_in_absolute_form_means_the_same_as_its_path() {
    let server = Setup::new(SERVER).start();
    for (target, host) in [
        ("http://a/healthz", "a"),
        ("HTTP://a/healthz", "a"),
        ("http://A/healthz", "a"),
        ("http://a/healthz?x", "A:80"),
        ("https://a:443/healthz", "a"),
    ] {
        assert_eq!(get(&server, &format!("GET {target}"), host), [200], "{target}");
    }
    let page = exchange(server.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let without_path = exchange(server.address(), "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(page.split_once("\r\n\r\n").unwrap().1, without_path.split_once("\r\n\r\n").unwrap().1);
    for target in
        ["http://b/healthz", "http://a:81/healthz", "http://u@a/healthz", "ftp://a/healthz", "http:/healthz"]
    {
        assert_eq!(get(&server, &format!("GET {target}"), "a"), [400], "{target}");
    }
}

#[test]
fn a_method_that_a_path_is_not_for_is_405_whether_anybody_knows_it_or_not() {
    let server = Setup::new(SERVER).start();
    for method in ["BREW", "get", "PROPFIND", "QUERY", "GETT", "PUT", "TRACE", "PATCH", "DELETE"] {
        let refused = server.send(Request::new(method, "/api/me"));
        assert_eq!(refused.field("allow"), Some("GET, HEAD"));
        server.send(Request::new(method, "/api/me")).assert_refused(405, "method_not_allowed", "none");
        server.send(Request::new(method, "/nowhere")).assert_refused(404, "not_found", "none");
    }
}

#[test]
fn options_of_the_server_as_a_whole_is_204() {
    let server = Setup::new(SERVER).start();
    let answer = exchange(server.address(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 204 ") && answer.contains("\r\nAllow: GET, POST, "), "{answer}");
    assert_eq!(get(&server, "GET *", "a"), [400]);
}

#[test]
fn an_empty_line_after_a_body_begins_no_request() {
    let server = Setup::new(SERVER).start();
    let request = "POST /api/auth/logout HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    for (between, expected) in
        [("\r\n", &[204, 204][..]), ("\r\n\r\n", &[204, 204]), ("\n", &[204, 400]), ("\r", &[204, 400])]
    {
        let answers = exchange(server.address(), [request, between, request].concat());
        assert_eq!(statuses(&answers), expected, "{between:?}: {answers}");
    }
    // Nothing but the empty line follows, in one packet: there is one answer, and no 408 five seconds later.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all([request, "\r\n"].concat().as_bytes()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(6_500))).unwrap();
    let mut answers = Vec::new();
    let ended = stream.read_to_end(&mut answers);
    assert!(ended.is_err(), "the connection stays");
    assert_eq!(statuses(str::from_utf8(&answers).unwrap()), [204]);
}

#[test]
fn heads_over_the_limit_say_which_one_and_what_else_counts() {
    let server = Setup::new(SERVER).start();
    let with = |line: String| {
        exchange(server.address(), format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"))
    };
    assert_eq!(
        statuses(&with(format!("Cookie: {}", "a=1; ".repeat(3000)))),
        [200],
        "15 KB of other applications' cookies"
    );
    let refused = with(format!("Cookie: {}", "a=1; ".repeat(3300)));
    assert!(
        refused.contains("head_too_large") && refused.contains("16384 bytes") && refused.contains("cookies"),
        "{refused}"
    );
    let refused = with(vec!["X: y"; 64].join("\r\n"));
    assert!(refused.contains("head_too_large") && refused.contains("64 header fields"), "{refused}");
}

/// Whether a page of the application's origin can read an answer.
fn is_readable_by_the_app(answer: &str) -> bool {
    let fields = [
        &*format!("\r\nAccess-Control-Allow-Origin: {APP}\r\n"),
        "\r\nAccess-Control-Allow-Credentials: true\r\n",
        "\r\nAccess-Control-Expose-Headers: Retry-After, WWW-Authenticate\r\n",
        "\r\nVary: Origin\r\n",
    ];
    fields.iter().all(|field| answer.contains(field))
}

#[test]
fn refusals_of_the_gate_can_be_read_by_pages_of_listed_origins_and_by_no_others() {
    let server = Setup::new(SERVER).with("ALLOWED_ORIGINS", APP).start();
    let too_long = format!("GET /{} HTTP/1.1\r\nHost: a", "a".repeat(2048));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", vec!["X: y"; 70].join("\r\n"));
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16385", 413),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: magic", 417),
        ("POST / HTTP/1.1\r\nHost: a b", 400),
        (&*too_long, 414),
        (&*many, 431),
    ] {
        let with_origin = |origin: &str| {
            let (line, fields) = request.split_once("\r\n").unwrap();
            exchange(server.address(), format!("{line}\r\nOrigin: {origin}\r\n{fields}\r\n\r\n"))
        };
        let answer = with_origin(APP);
        assert_eq!(statuses(&answer), [status], "{answer}");
        assert!(is_readable_by_the_app(&answer), "{answer}");
        for origin in ["https://evil.example", "null", &format!("{APP}.evil.example")] {
            assert!(!with_origin(origin).contains("Access-Control"), "{request} from {origin}");
        }
    }
}

#[test]
fn a_page_of_a_listed_origin_learns_that_the_server_is_busy_and_for_how_long() {
    let server = Setup::new(SERVER).with("ALLOWED_ORIGINS", APP).with("ARGON2_SLOTS", 1).start();
    let answers: Vec<_> = thread::scope(|scope| {
        let log_in = |number: u16| {
            let server = &server;
            scope.spawn(move || {
                let name = format!("nobody-{number}");
                let request = Request::login(&name, "wrong wrong wrong wrong").field("Origin", APP);
                server.send(request.from(loopback(3, number)))
            })
        };
        (0..24).map(log_in).collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!busy.is_empty(), "{answers:?}");
    for answer in busy {
        answer.assert_refused(503, "busy", "wait");
        assert_eq!(answer.field("retry-after"), Some("1"));
        assert_eq!(answer.field("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.field("access-control-expose-headers"), Some("Retry-After, WWW-Authenticate"));
    }
}

#[test]
fn ids_of_requests_do_not_tell_how_many_came_between() {
    let server = Setup::new(SERVER).start();
    let id = || {
        let answer = server.send(Request::get("/nowhere")).json();
        let id = answer["request_id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 16, "{id}");
        u64::from_str_radix(&id, 16).unwrap()
    };
    let ids: Vec<_> = (0..40).map(|_| id()).collect();
    let steps: HashSet<_> = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(steps.len(), 39, "no step comes twice");
}

#[test]
fn forwarded_addresses_in_several_lines_are_one_list() {
    let server = Setup::new(SERVER).with("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8").start();
    server.add_user("alice");
    let address_of = |lines: &[&str]| {
        let login = Request::login("alice", PASSWORD);
        let answer =
            server.send(lines.iter().fold(login, |request, line| request.field("X-Forwarded-For", line)));
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let sessions = server.get("/api/auth/sessions", &token).json();
        let is_current = |session: &&serde_json::Value| session["current"] == json!(true);
        sessions.as_array().unwrap().iter().find(is_current).unwrap()["address"].as_str().unwrap().to_owned()
    };
    assert_eq!(address_of(&["203.0.113.7", "10.0.0.2"]), "203.0.113.7");
    assert_eq!(address_of(&["198.51.100.1, 203.0.113.8", "10.0.0.2, 10.0.0.3"]), "203.0.113.8");
    assert_eq!(
        address_of(&["198.51.100.1", "203.0.113.9"]),
        "203.0.113.9",
        "the first line may be the client's"
    );
    assert_eq!(address_of(&["203.0.113.7", "unknown"]), "127.0.0.1");
}
