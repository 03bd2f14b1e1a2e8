//! Attacks a server by its address and prints what came of it, then checks what rules it keeps.
//!
//! `attack [--pid PID] [--only NAME] [--user NAME] [--this-server-is-mine] ADDRESS`; the user's password is a line of
//! standard input. An address off this machine needs the flag that says it is one's own.

use std::net::SocketAddr;
use std::process::ExitCode;

use latchkey_tests::attacks::{ATTACKS, Target, table_head, table_line};
use latchkey_tests::rules::{RULES, Subject, Verdict};

const USAGE: &str = "usage: attack [--pid PID] [--only NAME] [--user NAME] [--this-server-is-mine] ADDRESS

ADDRESS is one of this machine, such as 127.0.0.1:8080, unless --this-server-is-mine says that you may attack the one
there. The password of --user is read from standard input; without an account some rules are skipped.";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut address, mut pid, mut only, mut user, mut is_mine) = (None, None, None, None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pid" => pid = arguments.next().and_then(|pid| pid.parse().ok()),
            "--only" => only = arguments.next(),
            "--user" => user = arguments.next(),
            "--this-server-is-mine" => is_mine = true,
            other => address = other.parse::<SocketAddr>().ok(),
        }
    }
    let Some(address) = address.filter(|address| address.ip().is_loopback() || is_mine) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let is_chosen = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let account = user.map(|user| (user, line_of_input()));
    let rules_kept = check_rules(&Subject { address, account }, is_chosen);
    let attacks_withstood = attack(Target { address, pid }, is_chosen);
    ExitCode::from(u8::from(!(rules_kept && attacks_withstood)))
}

fn line_of_input() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("standard input is text");
    line.trim_end_matches(['\r', '\n']).to_owned()
}

fn check_rules(subject: &Subject, is_chosen: impl Fn(&str) -> bool) -> bool {
    let mut chosen = RULES.iter().filter(|rule| is_chosen(rule.name)).peekable();
    if chosen.peek().is_some() {
        println!("| rule | | |\n|---|---|---|");
    }
    let mut is_broken = false;
    for rule in chosen {
        let (verdict, more) = match rule.check(subject) {
            Verdict::Kept(requests) => ("kept", format!("{requests} requests")),
            Verdict::Skipped(why) => ("skipped", why.to_owned()),
            Verdict::Broken(how) => {
                is_broken = true;
                ("**broken**", how)
            }
        };
        println!("| {} | {verdict} | {more} |", rule.what);
    }
    !is_broken
}

fn attack(target: Target, is_chosen: impl Fn(&str) -> bool) -> bool {
    println!("\n{}", table_head());
    let chosen: Vec<_> = ATTACKS.iter().filter(|attack| is_chosen(attack.name)).collect();
    let mut failed = 0;
    for attack in &chosen {
        let report = attack.run(target);
        println!("{}", table_line(&report));
        failed += usize::from(!report.faults().is_empty());
    }
    println!("{} of {} attacks withstood", chosen.len() - failed, chosen.len());
    failed == 0
}
