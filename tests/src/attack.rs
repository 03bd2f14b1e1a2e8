//! Attacks a server by its address and prints what came of it: `attack [--pid PID] [--only ATTACK] ADDRESS`.

use std::net::SocketAddr;
use std::process::ExitCode;

use latchkey_tests::attacks::{ATTACKS, Target, table_head, table_line};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut address, mut pid, mut only) = (None, None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pid" => pid = arguments.next().and_then(|pid| pid.parse().ok()),
            "--only" => only = arguments.next(),
            other => address = other.parse::<SocketAddr>().ok(),
        }
    }
    let Some(address) = address.filter(|address| address.ip().is_loopback()) else {
        eprintln!(
            "usage: attack [--pid PID] [--only ATTACK] ADDRESS, where ADDRESS is one of this machine such as 127.0.0.1:8080"
        );
        return ExitCode::from(2);
    };
    println!("{}", table_head());
    let mut failed = 0;
    let chosen: Vec<_> =
        ATTACKS.iter().filter(|attack| only.as_deref().is_none_or(|only| only == attack.name)).collect();
    for attack in &chosen {
        let report = attack.run(Target { address, pid });
        println!("{}", table_line(&report));
        failed += usize::from(!report.faults().is_empty());
    }
    println!("{} of {} attacks withstood", chosen.len() - failed, chosen.len());
    ExitCode::from(u8::from(failed > 0))
}
