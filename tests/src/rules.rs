//! Rules that a server keeps towards strangers and thieves, checked from outside: cross-site requests, the cookie, altered
//! tokens, session fixation, enumeration, the time of a refused log-in, signing out.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;

use crate::http::{Answer, Connection, Request, loopback};
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
    Skipped(&'static str),
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

/// Why a check ends early.
enum Stop {
    Broken(String),
    Skipped(&'static str),
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
    Rule { name: "timing", what: "nor in its time", check: timing },
];

impl Rule {
    /// Checks it.
    pub fn check(&self, subject: &Subject) -> Verdict {
        let mut requests = 0;
        match (self.check)(subject, &mut requests) {
            Ok(()) => Verdict::Kept(requests),
            Err(Stop::Broken(how)) => Verdict::Broken(how),
            Err(Stop::Skipped(why)) => Verdict::Skipped(why),
        }
    }
}

fn holds(holds: bool, how: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Broken(how())) }
}

fn send(subject: &Subject, requests: &mut usize, request: Request) -> Result<Answer, Stop> {
    *requests += 1;
    request.try_send(subject.address).map_err(|error| Stop::Broken(format!("no answer: {error}")))
}

/// Signs in; the tokens, and the whole answer.
fn sign_in(subject: &Subject, requests: &mut usize, cookie: Option<&str>) -> Result<(Tokens, Answer), Stop> {
    let Some((name, password)) = &subject.account else { return Err(Stop::Skipped("it needs an account")) };
    let mut request = Request::login(name, password);
    if let Some(cookie) = cookie {
        request = request.field("Cookie", cookie);
    }
    let answer = send(subject, requests, request)?;
    holds(answer.status == 200, || format!("the account cannot sign in: {}", answer.status))?;
    Ok((Tokens::from(&answer), answer))
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
        return Err(Stop::Broken("it has not three segments".to_owned()));
    };
    let unsigned = "eyJhbGciOiJub25lIn0"; // {"alg":"none"}
    let mut altered = vec![
        format!("{unsigned}.{payload}."),
        format!("{unsigned}.{payload}.{tag}"),
        format!("{good}A"),
        format!("{good}="),
        format!("{good}.{tag}"),
        good[..good.len() - 1].to_owned(),
        tokens.refresh.clone(),
        tokens.session.clone(),
        String::new(),
    ];
    altered.extend((0..good.len()).step_by(7).map(|place| with_another_character(good, place)));
    for token in altered {
        let answer = send(subject, requests, me(&token))?;
        holds(answer.status == 401, || format!("{token} gets {}", answer.status))?;
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
    let mut altered =
        vec![format!("{good}A"), good[..good.len() - 1].to_owned(), tokens.access.clone(), String::new()];
    altered.extend((0..good.len()).step_by(5).map(|place| with_another_character(good, place)));
    for token in altered {
        let refused = send(subject, requests, refresh(&cookie_with(&answer, &token)))?;
        holds(refused.status == 401, || format!("{token} gets {}", refused.status))?;
        holds(refused.field("set-cookie").is_none(), || format!("{token} clears the cookie"))?;
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
fn shown(answer: &Answer) -> (u16, Vec<String>, serde_json::Value) {
    let mut body = answer.json();
    body["request_id"] = json!(null);
    (answer.status, answer.fields.iter().map(|(name, _)| name.clone()).collect(), body)
}

fn enumeration(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let Some((name, _)) = &subject.account else { return Err(Stop::Skipped("it needs an account")) };
    let known = send(subject, requests, Request::login(name, "not a password of anybody"))?;
    let unknown =
        send(subject, requests, Request::login("nobody-of-this-name", "not a password of anybody"))?;
    holds(shown(&known) == shown(&unknown), || format!("{known:?} is not {unknown:?}"))?;
    let code = |name: &str| {
        let body = json!({"username": name, "code": "A".repeat(22), "new": "a password for the code"});
        Request::post("/api/auth/reset").json(&body)
    };
    let known = send(subject, requests, code(name))?;
    let unknown = send(subject, requests, code("nobody-of-this-name"))?;
    holds(shown(&known) == shown(&unknown), || format!("{known:?} is not {unknown:?}"))
}

/// Rounds of the comparison of times: the account has five failures before it has to wait.
const ROUNDS: u16 = 5;

/// A normal deviate beyond this on either side has a probability of 1e-4.
pub const Z_MAX: f64 = 3.89;

fn timing(subject: &Subject, requests: &mut usize) -> Result<(), Stop> {
    let Some((name, _)) = &subject.account else { return Err(Stop::Skipped("it needs an account")) };
    if !subject.address.ip().is_loopback() {
        return Err(Stop::Skipped("from one address the server makes us wait after twenty"));
    }
    let mut times = [Vec::new(), Vec::new()];
    let mut place =
        u16::from_ne_bytes([std::process::id() as u8, Instant::now().elapsed().subsec_nanos() as u8]);
    for round in 0..2 * ROUNDS {
        // The known name fails four times at most: its fifth failure is the last one that is free.
        let names = [name.clone(), format!("nobody-{round}-{}", std::process::id())];
        for (times, name) in times.iter_mut().zip(names).skip(usize::from(round % 3 != 0)) {
            place = place.wrapping_add(1);
            let mut connection = Connection::new(loopback(9, place), subject.address);
            let request = Request::login(&name, "not a password of anybody");
            let begun = connection.open().map(|_| Instant::now());
            let answer = begun.and_then(|begun| Ok((connection.send(&request)?, begun.elapsed())));
            let (answer, took) = answer.map_err(|error| Stop::Broken(format!("no answer: {error}")))?;
            *requests += 1;
            holds(answer.status == 401, || format!("a wrong password gets {}", answer.status))?;
            times.push(took.as_secs_f64());
        }
    }
    // So few tell only what is blatant, such as a log-in that hashes nothing: then every one is on the same side.
    let [known, unknown] = &times;
    let all = |is_shorter: fn(f64, f64) -> bool| {
        known.iter().all(|known| unknown.iter().all(|unknown| is_shorter(2.0 * known, *unknown)))
            || unknown.iter().all(|unknown| known.iter().all(|known| is_shorter(2.0 * unknown, *known)))
    };
    holds(!all(|one, other| one < other), || format!("{known:?} is not {unknown:?}"))
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
