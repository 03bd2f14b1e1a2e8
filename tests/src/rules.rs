//! Rules that a server keeps towards strangers and thieves, checked from outside: cross-site requests, the cookie, altered
//! tokens, session fixation, enumeration, the time of a refused log-in, signing out.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use latchkey::entropy;
use serde_json::json;

use crate::http::{Answer, Connection, Request, has_many_addresses, loopback};
use crate::server::Tokens;

/// The server that is looked at, and somebody who may sign in there.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it listens.
    pub address: SocketAddr,
    /// A name and a password; without them the rules that need a session cannot be checked.
    pub account: Option<(String, String)>,
}

/// What came of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Kept, after so many requests.
    Kept(usize),
    /// Broken, and how.
    Broken(String),
    /// Not checked, and why.
    Skipped(String),
    /// Not checked: an answer is none of a server of ours, and why.
    Foreign(String),
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub what: &'static str,
    check: fn(&Subject, &mut usize) -> Result<(), Stop>,
}

/// Why a check ends early: any verdict but that it is kept.
struct Stop(Verdict);

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            io::ErrorKind::InvalidData => Verdict::Foreign(error.to_string()),
            _ => Verdict::Broken(format!("no answer: {error}")),
        })
    }
}

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule { name: "cross_site", what: "a page of another site changes nothing", check: cross_site },
    Rule { name: "cookie", what: "the cookie is out of reach of scripts and other sites", check: cookie },
    Rule { name: "access_token", what: "an altered access token is refused", check: access_token },
    Rule {
        name: "refresh_token",
        what: "an altered refresh token is refused and ends nothing",
        check: refresh_token,
    },
    Rule { name: "fixation", what: "a log-in never goes on in a session that was there", check: fixation },
    Rule { name: "sign_out", what: "signing out ends the session at once", check: sign_out },
    Rule { name: "enumeration", what: "who has an account does not show in an answer", check: enumeration },
    // So few samples tell only what is blatant, such as a log-in that hashes nothing.
    Rule { name: "timing", what: "no factor of two seen between known and unknown names", check: timing },
];

impl Rule {
    /// Checks it.
    pub fn check(&self, subject: &Subject) -> Verdict {
        let mut requests = 0;
        match (self.check)(subject, &mut requests) {
            Ok(()) => Verdict::Kept(requests),
            Err(Stop(verdict)) => verdict,
        }
    }
}

fn holds(holds: bool, how: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop(Verdict::Broken(how()))) }
}

fn skipped(why: &str) -> Stop {
    Stop(Verdict::Skipped(why.to_owned()))
}

fn foreign(why: &str) -> Stop {
    Stop(Verdict::Foreign(why.to_owned()))
}

fn send(subject: &Subject, requests: &mut usize, request: Request) -> Result<Answer, Stop> {
    *requests += 1;
    unless_throttled(request.try_send(subject.address)?)
}

/// Who failed too often before is told nothing that a rule could be judged by.
fn unless_throttled(answer: Answer) -> Result<Answer, Stop> {
    if answer.status == 429 {
        let secs = answer.field("retry-after").unwrap_or("unknown");
        return Err(skipped(&format!("throttled after earlier failures, Retry-After: {secs}")));
    }
    Ok(answer)
}

fn account(subject: &Subject) -> Result<&(String, String), Stop> {
    subject.account.as_ref().ok_or_else(|| skipped("it needs an account: --user"))
}

/// Signs in; the tokens, and the whole answer.
fn sign_in(subject: &Subject, requests: &mut usize, cookie: Option<&str>) -> Result<(Tokens, Answer), Stop> {
    let (name, password) = account(subject)?;
    let mut request = Request::login(name, password);
    if let Some(cookie) = cookie {
        request = request.field("Cookie", cookie);
    }
    let answer = send(subject, requests, request)?;
    holds(answer.status == 200, || format!("the account cannot sign in: {}", answer.status))?;
    answer.try_json()?;
    let tokens = Tokens::from(&answer);
    let is_token = |token: &str| !token.is_empty() && token.is_ascii();
    if is_token(&tokens.access) && is_token(&tokens.refresh) {
        Ok((tokens, answer))
    } else {
        Err(foreign("a log-in brings no tokens"))
    }
}

/// `NAME=VALUE` of the cookie that an answer sets, with this value.
fn cookie_with(answer: &Answer, value: &str) -> String {
    let name = answer.field("set-cookie").and_then(|field| field.split('=').next()).unwrap_or_default();
    format!("{name}={value}")
}

fn refresh(cookie: &str) -> Request {
    Request::post("/api/auth/refresh").field("Cookie", cookie)
}

fn cross_site(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let from = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ];
    let login = || Request::login("nobody", "not a password of anybody");
    for (name, value) in from {
        let others = ["refresh", "logout", "logout-all", "password"];
        let others = others.map(|path| Request::post(&format!("/api/auth/{path}")));
        for request in others.into_iter().chain([login()]) {
            let answer = send(subject, requests, request.field(name, value))?;
            holds(answer.status == 403, || format!("{name}: {value} gets {}", answer.status))?;
            let allows = answer.field("access-control-allow-origin").is_some();
            holds(!allows, || format!("{name}: {value} may read the answer"))?;
        }
    }
    Ok(())
}

fn cookie(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (tokens, answer) = sign_in(subject, requests, None)?;
    let field = answer.field("set-cookie").unwrap_or_default();
    let has = |attribute: &str| field.split("; ").any(|known| known.eq_ignore_ascii_case(attribute));
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        holds(has(attribute), || format!("{attribute} is missing"))?;
    }
    holds(!field.to_ascii_lowercase().contains("domain="), || "other hosts get it".to_owned())?;
    let is_bound = field.starts_with("__Host-") && has("Secure");
    holds(is_bound || subject.address.ip().is_loopback(), || "neither __Host- nor Secure".to_owned())?;
    holds(!answer.body.contains(&tokens.refresh), || "the refresh token is in the body as well".to_owned())?;
    holds(answer.field("cache-control") == Some("no-store"), || "the answer may be kept".to_owned())
}

fn access_token(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (tokens, _) = sign_in(subject, requests, None)?;
    let good = &tokens.access;
    let me = |token: &str| Request::get("/api/me").bearer(token);
    let answer = send(subject, requests, me(good))?;
    holds(answer.status == 200, || format!("a good one gets {}", answer.status))?;
    let [_, payload, tag] = good.split('.').collect::<Vec<_>>()[..] else {
        return Err(foreign("an access token has not three segments"));
    };
    let unsigned = "eyJhbGciOiJub25lIn0"; // {"alg":"none"}
    let mut altered = vec![
        ("an unsigned one", format!("{unsigned}.{payload}.")),
        ("one that says it is unsigned", format!("{unsigned}.{payload}.{tag}")),
        ("one with another letter", format!("{good}A")),
        ("one with padding", format!("{good}=")),
        ("one with four segments", format!("{good}.{tag}")),
        ("one without its last letter", good[..good.len() - 1].to_owned()),
        ("a refresh token", tokens.refresh.clone()),
        ("a session's handle", tokens.session.clone()),
        ("an empty one", String::new()),
    ];
    let places = (0..good.len()).step_by(7);
    altered.extend(places.map(|place| ("one with a changed letter", with_another_character(good, place))));
    for (which, token) in altered {
        let answer = send(subject, requests, me(&token))?;
        holds(answer.status == 401, || format!("{which} gets {}", answer.status))?;
    }
    Ok(())
}

/// The text with another letter in this place, which changes what it stands for.
fn with_another_character(text: &str, place: usize) -> String {
    let other = if text.as_bytes()[place] == b'Q' { "g" } else { "Q" };
    format!("{}{other}{}", &text[..place], &text[place + 1..])
}

fn refresh_token(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (tokens, answer) = sign_in(subject, requests, None)?;
    let good = &tokens.refresh;
    let mut altered = vec![
        ("one with another letter", format!("{good}A")),
        ("one without its last letter", good[..good.len() - 1].to_owned()),
        ("an access token", tokens.access.clone()),
        ("an empty one", String::new()),
    ];
    let places = (0..good.len()).step_by(5);
    altered.extend(places.map(|place| ("one with a changed letter", with_another_character(good, place))));
    for (which, token) in altered {
        let refused = send(subject, requests, refresh(&cookie_with(&answer, &token)))?;
        holds(refused.status == 401, || format!("{which} gets {}", refused.status))?;
        holds(refused.field("set-cookie").is_none(), || format!("{which} clears the cookie"))?;
    }
    let doubled = format!("{0}; {0}", cookie_with(&answer, good));
    let refused = send(subject, requests, refresh(&doubled))?;
    holds(refused.status == 400, || format!("a doubled cookie gets {}", refused.status))?;
    let after = send(subject, requests, refresh(&cookie_with(&answer, good)))?;
    holds(after.status == 200, || format!("afterwards the good one gets {}", after.status))
}

fn fixation(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (planted, answer) = sign_in(subject, requests, None)?;
    let (own, _) = sign_in(subject, requests, Some(&cookie_with(&answer, &planted.refresh)))?;
    holds(own.session != planted.session, || "the log-in goes on in the planted session".to_owned())?;
    let after = send(subject, requests, refresh(&cookie_with(&answer, &planted.refresh)))?;
    holds(after.status == 401, || format!("the planted session lives: {}", after.status))?;
    let (made_up, _) = sign_in(subject, requests, Some(&cookie_with(&answer, &"A".repeat(72))))?;
    holds(made_up.refresh != "A".repeat(72), || "a made-up token is taken over".to_owned())
}

fn sign_out(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (tokens, answer) = sign_in(subject, requests, None)?;
    let cookie = cookie_with(&answer, &tokens.refresh);
    let out = send(subject, requests, Request::post("/api/auth/logout").field("Cookie", &cookie))?;
    holds(out.status == 204 && out.clears_cookie(), || format!("signing out gets {}", out.status))?;
    for request in [refresh(&cookie), Request::get("/api/me").bearer(&tokens.access)] {
        let answer = send(subject, requests, request)?;
        holds(answer.status == 401, || format!("afterwards a token gets {}", answer.status))?;
    }
    Ok(())
}

/// What of an answer two callers may compare.
fn shown(answer: &Answer) -> Result<(u16, Vec<String>, serde_json::Value), Stop> {
    let mut body = answer.try_json()?;
    if let Some(document) = body.as_object_mut() {
        document.remove("request_id");
    }
    Ok((answer.status, answer.fields.iter().map(|(name, _)| name.clone()).collect(), body))
}

fn look_the_same(known: &Answer, unknown: &Answer) -> Result<(), Stop> {
    let are_equal = shown(known)? == shown(unknown)?;
    holds(are_equal, || format!("a known name gets {known:?}, an unknown one {unknown:?}"))
}

fn enumeration(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (name, _) = account(subject)?;
    let known = send(subject, requests, Request::login(name, "not a password of anybody"))?;
    let unknown =
        send(subject, requests, Request::login("nobody-of-this-name", "not a password of anybody"))?;
    look_the_same(&known, &unknown)?;
    let code = |name: &str| {
        let body = json!({"username": name, "code": "A".repeat(22), "new": "a password for the code"});
        Request::post("/api/auth/reset").json(&body)
    };
    let known = send(subject, requests, code(name))?;
    let unknown = send(subject, requests, code("nobody-of-this-name"))?;
    look_the_same(&known, &unknown)
}

/// Rounds of the comparison of times: the account has five failures before it has to wait.
const ROUNDS: u16 = 5;

/// A normal deviate beyond this on either side has a probability of 1e-4.
pub const Z_MAX: f64 = 3.89;

fn timing(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let (name, _) = account(subject)?;
    if !has_many_addresses(subject.address) {
        return Err(skipped("it needs many addresses, which only 127.0.0.0/8 gives"));
    }
    let mut times = [Vec::new(), Vec::new()];
    // Addresses and names that no run before has used up.
    let mut place = u16::from_ne_bytes(entropy::bytes());
    for round in 0..2 * ROUNDS {
        // The known name fails four times at most: its fifth failure is the last one that is free.
        let names = [name.clone(), format!("nobody-{place}-{round}")];
        for (times, name) in times.iter_mut().zip(names).skip(usize::from(round % 3 != 0)) {
            place = place.wrapping_add(1);
            let mut connection = Connection::new(loopback(9, place), subject.address);
            let request = Request::login(&name, "not a password of anybody");
            connection.open()?;
            let begun = Instant::now();
            let answer = connection.send(&request)?;
            let took = begun.elapsed();
            *requests += 1;
            let answer = unless_throttled(answer)?;
            holds(answer.status == 401, || format!("a wrong password gets {}", answer.status))?;
            times.push(took.as_secs_f64());
        }
    }
    let [known, unknown] = &times;
    let are_apart = |shorter: &[f64], longer: &[f64]| {
        shorter.iter().all(|shorter| longer.iter().all(|longer| 2.0 * shorter < *longer))
    };
    let is_apart = are_apart(known, unknown) || are_apart(unknown, known);
    holds(!is_apart, || format!("a known name takes {known:?} s, an unknown one {unknown:?} s"))
}

/// The rank sum of Mann and Whitney as a normal deviate: how surely `ours` are shorter or longer than `theirs`.
///
/// Ranks do not care how far off the one is that was interrupted. Rounds are interleaved, so a machine that is slow
/// for a while slows all kinds.
pub fn deviate(ours: &[f64], theirs: &[f64]) -> f64 {
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    let wins =
        |one: f64| theirs.iter().map(|&other| f64::from(one > other) + f64::from(one == other) / 2.0).sum();
    let u: f64 = ours.iter().map(|&one| -> f64 { wins(one) }).sum();
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}
