//! The attack kit's rules: the real server keeps every one, and a server that keeps none is found out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use latchkey_tests::rules::{RULES, Subject, Verdict};
use latchkey_tests::server::{PASSWORD, Setup};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

fn subject(address: SocketAddr) -> Subject {
    Subject { address, account: Some(("alice".to_owned(), PASSWORD.to_owned())) }
}

#[test]
fn the_server_keeps_every_rule_of_the_attack_kit() {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    for rule in RULES {
        let verdict = rule.check(&subject(server.address()));
        assert!(matches!(verdict, Verdict::Kept(1..)), "{}: {verdict:?}", rule.name);
    }
}

#[test]
fn a_second_run_skips_what_is_throttled_and_says_for_how_long() {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    let run = || RULES.iter().map(|rule| rule.check(&subject(server.address()))).collect::<Vec<_>>();
    let (first, second) = (run(), run());
    assert!(first.iter().all(|verdict| matches!(verdict, Verdict::Kept(_))), "{first:?}");
    assert!(!second.iter().any(|verdict| matches!(verdict, Verdict::Broken(_))), "{second:?}");
    let is_told =
        |verdict: &Verdict| matches!(verdict, Verdict::Skipped(why) if why.contains("Retry-After: "));
    assert!(second.iter().any(is_told), "{second:?}");
}

#[test]
fn without_an_account_the_rules_that_need_one_are_skipped() {
    let server = Setup::new(SERVER).start();
    let stranger = Subject { account: None, ..subject(server.address()) };
    let kept = RULES.iter().filter(|rule| matches!(rule.check(&stranger), Verdict::Kept(_)));
    assert_eq!(kept.map(|rule| rule.name).collect::<Vec<_>>(), ["cross_site"]);
}

/// Answers everything with the same log-in, only known names slowly, and with another document.
fn careless_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut request = vec![0; 8192];
                let len = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..len]).into_owned();
                let is_wrong = request.contains("not a password") || request.contains("/reset");
                let is_known = request.contains("alice");
                let status = if is_wrong { "401 Unauthorized" } else { "200 OK" };
                thread::sleep(std::time::Duration::from_millis(if is_wrong && is_known { 60 } else { 1 }));
                let body = format!(
                    "{{\"access_token\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbb.cccc\",\"session\":\"s\",\"known\":{is_known}}}"
                );
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nSet-Cookie: id={}\r\nContent-Length: {}\r\n\r\n{body}",
                    "t".repeat(72),
                    body.len()
                );
            });
        }
    });
    address
}

#[test]
fn a_server_that_keeps_no_rule_is_found_out_by_every_one() {
    let address = careless_server();
    for rule in RULES {
        let verdict = rule.check(&subject(address));
        assert!(matches!(verdict, Verdict::Broken(_)), "{}: {verdict:?}", rule.name);
    }
}
