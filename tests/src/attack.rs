//! Checks what rules a server keeps, attacks it by its address, and prints what came of both; `--help` says how.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use latchkey_tests::attacks::{ATTACKS, Target, Usage, table_head, table_line};
use latchkey_tests::http::{Request, has_many_addresses};
use latchkey_tests::rules::{RULES, Subject, Verdict};

const USAGE: &str = "usage: attack [--user NAME] [--pid PID] [--only NAME]... [--this-server-is-mine] ADDRESS

Checks what rules a Latchkey server keeps, then attacks it for a minute or two, over plain HTTP only.

ADDRESS      of this machine, such as 127.0.0.1:8080; where clients cannot come from many addresses, which they can in
             127.0.0.0/8 only, what needs them is skipped
--user NAME  has a session there; the password is a line of standard input; without it some rules are skipped
--pid PID    the server's process, so that its memory, threads and descriptors are judged
--only NAME  only this rule or attack, or several
--this-server-is-mine
             you may attack ADDRESS though it is not a loopback address

exit code: 0 nothing is broken, 1 something is, 2 it could not be looked at
";

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    address: Option<String>,
    pid: Option<u32>,
    only: Vec<String>,
    user: Option<String>,
    is_mine: bool,
}

/// What came of the rules and attacks.
#[derive(Default)]
struct Count {
    kept: usize,
    broken: usize,
    skipped: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<_> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    match Wanted::read(arguments).and_then(|wanted| wanted.run()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn names() -> (Vec<&'static str>, Vec<&'static str>) {
    (RULES.iter().map(|rule| rule.name).collect(), ATTACKS.iter().map(|attack| attack.name).collect())
}

fn help() -> String {
    let mut help = USAGE.to_owned();
    let (rules, attacks) = names();
    for (what, names) in [("rules", rules), ("attacks", attacks)] {
        write!(help, "\n{what}:").expect("a String takes everything");
        for line in names.chunks(8) {
            write!(help, "\n  {}", line.join(" ")).expect("a String takes everything");
        }
    }
    help + "\n"
}

impl Wanted {
    fn read(arguments: Vec<String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut wanted = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--pid" => wanted.pid = Some(process(&value()?)?),
                "--only" => wanted.only.push(known_name(value()?)?),
                "--user" => wanted.user = Some(value()?),
                "--this-server-is-mine" => wanted.is_mine = true,
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}: see --help"));
                }
                _ if wanted.address.is_some() => {
                    return Err(format!("one ADDRESS is enough, without {argument}"));
                }
                _ => wanted.address = Some(argument),
            }
        }
        Ok(wanted)
    }

    /// Checks and attacks; how much is broken.
    fn run(self) -> Result<usize, String> {
        let address = address(self.address.as_deref(), self.is_mine)?;
        probe(address)?;
        let account = self.user.clone().map(|user| Ok::<_, String>((user, line_of_input()?))).transpose()?;
        let is_chosen = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let rules = check_rules(&Subject { address, account }, is_chosen)?;
        let attacks = attack(Target { address, pid: self.pid }, is_chosen);
        println!(
            "\nrules: {} kept, {} broken, {} skipped; attacks: {} withstood, {} not, {} skipped",
            rules.kept, rules.broken, rules.skipped, attacks.kept, attacks.broken, attacks.skipped
        );
        Ok(rules.broken + attacks.broken)
    }
}

fn process(pid: &str) -> Result<u32, String> {
    let number = pid.parse().map_err(|_| format!("--pid {pid}: that is no process id"))?;
    match Usage::of(Some(number)) {
        Usage { descriptors: 0, .. } => Err(format!("--pid {pid}: there is no such process of yours")),
        _ => Ok(number),
    }
}

fn known_name(name: String) -> Result<String, String> {
    let (rules, attacks) = names();
    let known = [rules, attacks].concat();
    let is_known = known.contains(&name.as_str());
    if is_known { Ok(name) } else { Err(format!("--only {name}: there are {}", known.join(" "))) }
}

/// Only what cannot be somebody else's server, unless it is said to be one's own.
fn address(given: Option<&str>, is_mine: bool) -> Result<SocketAddr, String> {
    let given = given.ok_or("an ADDRESS is needed, such as 127.0.0.1:8080: see --help")?;
    if given.contains("://") {
        return Err(format!("{given}: an ADDRESS is an IP address and a port, with nothing before them"));
    }
    let unreadable = || format!("{given}: an ADDRESS is an IP address and a port, such as 127.0.0.1:8080");
    let mut addresses: Vec<SocketAddr> = if given.starts_with("localhost:") {
        given.to_socket_addrs().map_err(|_| unreadable())?.collect()
    } else {
        vec![given.parse().map_err(|_| unreadable())?]
    };
    // The IPv4 one of localhost's, where more can be attacked.
    addresses.sort();
    let address = *addresses.first().ok_or_else(unreadable)?;
    if addresses.iter().all(|address| address.ip().is_loopback()) || is_mine {
        Ok(address)
    } else {
        Err(format!("{given} is not a loopback address: say --this-server-is-mine if you may attack it"))
    }
}

/// One request that a server of ours answers, before any is sent that others take amiss.
fn probe(address: SocketAddr) -> Result<(), String> {
    match Request::get("/healthz").try_send(address) {
        Ok(answer) if answer.status == 200 && answer.body == "ok\n" => Ok(()),
        Ok(answer) if answer.status == 200 => Err(foreign(address, "GET /healthz gets another text")),
        Ok(answer) => Err(foreign(address, &format!("GET /healthz gets {}", answer.status))),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::InvalidData => foreign(address, &error.to_string()),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                foreign(address, "it hangs up")
            }
            io::ErrorKind::WouldBlock => format!("{address} takes a connection and does not answer"),
            _ => format!("{address} cannot be reached: {error}"),
        }),
    }
}

fn foreign(address: SocketAddr, why: &str) -> String {
    format!("{address} does not answer like a Latchkey server: {why}")
}

fn line_of_input() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| format!("standard input: {error}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("--user needs the password as a line of standard input".to_owned());
    }
    Ok(password.to_owned())
}

fn check_rules(subject: &Subject, is_chosen: impl Fn(&str) -> bool) -> Result<Count, String> {
    let mut chosen = RULES.iter().filter(|rule| is_chosen(rule.name)).peekable();
    if chosen.peek().is_some() {
        println!("| rule | | | |\n|---|---|---|---|");
    }
    let mut count = Count::default();
    for rule in chosen {
        let (counted, verdict, more) = match rule.check(subject) {
            Verdict::Kept(requests) => (&mut count.kept, "kept", format!("{requests} requests")),
            Verdict::Skipped(why) => (&mut count.skipped, "**skipped**", why),
            Verdict::Broken(how) => (&mut count.broken, "**broken**", how),
            Verdict::Foreign(why) => return Err(foreign(subject.address, &why)),
        };
        *counted += 1;
        println!("| {} | {} | {verdict} | {more} |", rule.name, rule.what);
    }
    Ok(count)
}

fn attack(target: Target, is_chosen: impl Fn(&str) -> bool) -> Count {
    let mut chosen = ATTACKS.iter().filter(|attack| is_chosen(attack.name)).peekable();
    if chosen.peek().is_some() {
        if !has_many_addresses(target.address) {
            println!("\nHere attackers and the good client share one address: what needs many is SKIPPED.");
        }
        println!("\n{}", table_head());
    }
    let mut count = Count::default();
    for attack in chosen {
        if let Some(why) = attack.skipped_at(target.address) {
            println!("{:<19} SKIPPED: {why}", attack.name);
            count.skipped += 1;
            continue;
        }
        let report = attack.run(target);
        println!("{}", table_line(&report));
        *if report.faults().is_empty() { &mut count.kept } else { &mut count.broken } += 1;
    }
    count
}
