//! The attack kit as a stranger meets it: a reason for every wrong argument, and none of its rows for a server that is
//! not there or is none of ours.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use latchkey_tests::attacks::ATTACKS;
use latchkey_tests::http::Answer;
use latchkey_tests::rules::{RULES, Subject, Verdict};
use latchkey_tests::server::{finish, printed, secret_in};

const KIT: &str = env!("CARGO_BIN_EXE_attack");

fn run(arguments: &[&str]) -> Output {
    finish(Command::new(KIT).args(arguments), "a password\n")
}

/// Asserts that nothing was looked at, for a reason in one line.
#[track_caller]
fn assert_refused(arguments: &[&str], reason: &str) {
    let output = run(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains(reason), "{complaint:?} lacks {reason:?}");
    assert_eq!((output.status.code(), complaint.lines().count()), (Some(2), 1), "{complaint}");
}

/// Answers the probe like a server of ours, and everything else with `answer`; without a `probe` that as well.
fn answering(probe: Option<&'static str>, answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 8192];
            let len = stream.read(&mut request).unwrap_or(0);
            let is_probe = request[..len].starts_with(b"GET /healthz");
            let _ = stream.write_all(probe.filter(|_| is_probe).map_or(answer, str::as_bytes));
        }
    });
    address
}

#[test]
fn every_wrong_argument_has_its_reason() {
    for (arguments, reason) in [
        (&[][..], "an ADDRESS is needed"),
        (&["http://127.0.0.1:80"], "with nothing before"),
        (&["localhost"], "an IP address and a port"),
        (&["localhost:http"], "an IP address and a port"),
        (&["127.0.0.1"], "an IP address and a port"),
        (&["127.0.0.1:1", "127.0.0.1:2"], "one ADDRESS is enough"),
        (&["192.0.2.1:80"], "--this-server-is-mine"),
        (&["--only"], "--only needs a value"),
        (&["--pid", "abc", "127.0.0.1:1"], "--pid abc: that is no process id"),
        (&["--pid", "4294967295", "127.0.0.1:1"], "no such process"),
        (&["--fast", "127.0.0.1:1"], "there is no option --fast"),
    ] {
        assert_refused(arguments, reason);
    }
    for known in ["cross_site", "timing", "huge_length", "reset_after_request"] {
        assert_refused(&["--only", "typo", "127.0.0.1:1"], known);
    }
}

#[test]
fn help_names_every_rule_and_attack() {
    let help = printed(&run(&["--help"]));
    let names = RULES.iter().map(|rule| rule.name).chain(ATTACKS.iter().map(|attack| attack.name));
    for name in names {
        assert!(help.split_whitespace().any(|word| word == name), "{name} is missing");
    }
}

#[test]
fn a_server_that_is_not_there_is_one_sentence() {
    assert_refused(&["127.0.0.1:1"], "127.0.0.1:1 cannot be reached");
    assert_refused(&["localhost:1"], "127.0.0.1:1 cannot be reached");
}

#[test]
fn a_server_that_is_not_ours_is_one_sentence() {
    for (answer, reason) in [
        (&b"SSH-2.0-OpenSSH_9.9\r\n"[..], "not HTTP/1.1"),
        (b"", "hangs up"),
        (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe", "not UTF-8"),
        (b"HTTP/1.1 200 OK\r\nServer\r\n\r\nok\n", "no colon"),
        (b"HTTP/1.1 OK\r\n\r\nok\n", "no status"),
        (b"HTTP/1.1 404 Not Found\r\nServer:nginx\r\n\r\n", "GET /healthz gets 404"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "another text"),
    ] {
        let address = answering(None, answer).to_string();
        assert_refused(&[&address], &format!("{address} does not answer like a Latchkey server: "));
        assert_refused(&[&address], reason);
    }
}

#[test]
fn a_log_in_that_is_not_ours_is_one_sentence_too() {
    let probe = "HTTP/1.1 200 OK\r\nServer:nginx\r\n\r\nok\n";
    for (answer, reason) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n<html>"[..], "not JSON"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "no tokens"),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: id=r\r\n\r\n{\"access_token\":\"a\"}", "three segments"),
    ] {
        let address = answering(Some(probe), answer).to_string();
        assert_refused(&["--user", "alice", "--only", "access_token", &address], reason);
    }
}

#[test]
fn each_row_begins_with_a_name_and_the_last_line_counts() {
    let address = answering(None, b"HTTP/1.1 200 OK\r\n\r\nok\n").to_string();
    let output = run(&["--only", "cookie", "--only", "cross_site", "--only", "silence", &address]);
    let rows = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{rows}");
    for row in ["| cookie | ", "| cross_site | ", "silence "] {
        assert!(rows.lines().any(|line| line.starts_with(row)), "{row}: {rows}");
    }
    let last = "rules: 0 kept, 1 broken, 1 skipped; attacks: 1 withstood, 0 not, 0 skipped";
    assert_eq!(rows.lines().last(), Some(last));
}

#[test]
fn where_clients_have_one_address_what_needs_many_is_skipped() {
    for address in ["[::1]:1", "192.0.2.1:1"] {
        let address = address.parse().unwrap();
        let skipped = |name| {
            let attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
            attack.skipped_at(address).is_some()
        };
        assert!(skipped("deaf_crowd") && skipped("reset_after_request") && !skipped("idle_flood"));
        let account = Some(("alice".to_owned(), "a password".to_owned()));
        let timing = RULES.iter().find(|rule| rule.name == "timing").unwrap();
        assert!(matches!(timing.check(&Subject { address, account }), Verdict::Skipped(_)));
    }
    assert!(ATTACKS.iter().all(|attack| attack.skipped_at(SocketAddr::from(([127, 0, 0, 1], 80))).is_none()));
}

#[test]
fn an_answer_is_printed_without_its_tokens() {
    let token = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEyMzQ1Njc4In0";
    let fields = vec![("set-cookie".to_owned(), format!("id={token}; Path=/"))];
    let answer =
        Answer { status: 200, fields, body: format!("{{\"access_token\":\"{token}.{token}\"}} {token}") };
    let shown = format!("{answer:?}");
    assert_eq!(secret_in(&shown), None, "{shown}");
    assert!(shown.contains("Path=/") && shown.contains("access_token"), "{shown}");
}
