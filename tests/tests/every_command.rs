//! Every command there is, against a live and a stopped server, for people and as JSON.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use latchkey_tests::server::{PASSWORD, Server, Setup, assert_fails, printed};
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");

/// What a command prints with `--json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Prints {
    List,
    Object,
}
use Prints::{List, Object};

/// A command line, what it is fed, what text it prints, and what JSON.
struct Case {
    line: &'static str,
    input: String,
    says: &'static str,
    prints: Prints,
}

fn case(line: &'static str, says: &'static str, prints: Prints) -> Case {
    Case { line, input: PASSWORD.to_owned(), says, prints }
}

/// Every command but `serve`, in an order in which each has something to do; `HANDLE` and `TOKEN` stand for those of a
/// session of alice's.
fn cases(token: &str) -> Vec<Case> {
    let with_token = |line, says| Case { input: token.to_owned(), ..case(line, says, Object) };
    vec![
        case("user add bob --role admin --password-stdin", "added admin bob", Object),
        case("user list", "alice", List),
        case("user show alice", "role      user", Object),
        case("user passwd bob --password-stdin", "changed the password of bob", Object),
        case("user reset bob", "", Object),
        case("user disable bob", "disabled bob", Object),
        case("user enable bob", "enabled bob", Object),
        case("user role bob user", "the role user", Object),
        case("user delete bob --yes", "deleted bob", Object),
        with_token("token inspect", "UNVERIFIED"),
        with_token("token verify", "good, as far as"),
        case("session list", "alice", List),
        case("session list --user alice", "alice", List),
        case("session revoke HANDLE", "ended the session", Object),
        case("session revoke-all --user alice", "ended all sessions of alice", Object),
        case("key list", "KID", List),
        case("key add", "does not sign yet", Object),
        case("key activate 2", "key 2 signs from now on", Object),
        case("key rotate", "key 3 signs from now on", Object),
        case("key retire KID --even-if-tokens-live --force", "retired key", Object),
        case("key export access", "", Object),
        case("key export access --format hex", "", Object),
        case("key export access --format jwk", "\"oct\"", Object),
        case("audit tail", "user_added", List),
        case("audit tail --refusals", "", List),
        case("audit verify", "main log   whole", List),
        case("audit seal --yes", "sealed both logs", Object),
        case("backup FILE", "backed up 1 users", Object),
        case("restore FILE", "restored 1 users", Object),
        case("compact", "compacted from", Object),
        case("stats", "session records", Object),
        case("check", "LATCHKEY_GRACE_SECS", Object),
        case("completions bash", "complete -F _latchkey", Object),
        case("completions fish", "complete -c latchkey", Object),
        case("completions zsh", "#compdef latchkey", Object),
    ]
}

/// A folder with alice in it, who is signed in.
struct Scene {
    server: Server,
    token: String,
    handles: Vec<String>,
    kid: u32,
}

impl Scene {
    fn new(is_live: bool) -> Self {
        let mut server = Setup::new(SERVER).start();
        server.add_user("alice");
        let sessions = [server.login("alice"), server.login("alice")];
        let token = sessions[0].access.clone();
        // Offline, nobody tells the command which port was free.
        server.set("PUBLIC_URL", server.url());
        if !is_live {
            server.stop();
        }
        let handles = sessions.into_iter().map(|tokens| tokens.session).collect();
        Self { server, token, handles, kid: 1 }
    }

    /// Runs a case once for people and once as JSON.
    fn run(&mut self, case: &Case, with_json: bool) -> Output {
        let file = format!("backup-{with_json}");
        let handle = &self.handles[usize::from(with_json)];
        let kid = self.kid.to_string();
        let words = case.line.split(' ').map(|word| match word {
            "HANDLE" => handle,
            "FILE" => &file,
            "KID" => &kid,
            other => other,
        });
        let arguments: Vec<_> = words.chain(with_json.then_some("--json")).collect();
        let output = self.server.run_with_input(&arguments, &case.input);
        if case.line.starts_with("key retire") {
            self.kid += 1;
        }
        output
    }
}

fn every_command_runs(is_live: bool) {
    let mut scene = Scene::new(is_live);
    let token = scene.token.clone();
    for case in &cases(&token) {
        let text = printed(&scene.run(case, false));
        assert!(text.contains(case.says), "{}: {text}", case.line);
    }
    let mut scene = Scene::new(is_live);
    let token = scene.token.clone();
    for case in &cases(&token) {
        let text = printed(&scene.run(case, true));
        assert_eq!(text.lines().count(), 1, "{}: {text}", case.line);
        let value: Value = serde_json::from_str(&text).unwrap();
        let prints = if value.is_array() { List } else { Object };
        assert!(value.is_array() || value.is_object());
        assert_eq!(prints, case.prints, "{}: {text}", case.line);
    }
}

#[test]
fn every_command_runs_while_the_server_does() {
    every_command_runs(true);
}

#[test]
fn every_command_runs_while_the_server_does_not() {
    every_command_runs(false);
}

/// The commands that `--help` lists below `path`, down to those that have no more below them.
fn commands_below(server: &Server, path: &[String]) -> BTreeSet<String> {
    let arguments: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = printed(&server.run(&arguments));
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return [path.join(" ")].into() };
    let names = list
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.flat_map(|name| commands_below(server, &[path, &[name.to_owned()]].concat())).collect()
}

#[test]
fn the_two_tests_above_leave_no_command_out() {
    let server = Setup::new(SERVER).stopped();
    let all = commands_below(&server, &[]);
    assert!(all.len() > 20, "{all:?}");
    let covered: Vec<_> = cases("").iter().map(|case| case.line).collect();
    for command in all {
        // `serve` is what they run against, and the clock has to be behind to be accepted: see clock.rs.
        let is_elsewhere = ["serve", "clock accept"].contains(&command.as_str());
        assert!(is_elsewhere || covered.iter().any(|line| line.starts_with(&command)), "{command}");
    }
}

#[test]
fn verify_says_in_words_what_is_wrong_with_a_token() {
    let mut scene = Scene::new(false);
    let verify = |server: &Server, token: &str| server.run_with_input(&["token", "verify"], token);
    printed(&verify(&scene.server, &scene.token));
    printed(&verify(&scene.server, &format!("Authorization: Bearer {}\n", scene.token)));
    let (head, tag) = scene.token.rsplit_once('.').unwrap();
    let flipped = if tag.starts_with('A') { "B" } else { "A" };
    assert_fails(&verify(&scene.server, &format!("{head}.{flipped}{}", &tag[1..])), "the signature is wrong");
    assert_fails(&verify(&scene.server, ""), "no token on standard input");
    assert_fails(&verify(&scene.server, "a.b"), "three parts");
    assert_fails(&verify(&scene.server, &"A".repeat(72)), "another version");
    assert_fails(&verify(&scene.server, &"x".repeat(100_000)), "three parts");
    scene.server.set("AUDIENCE", "somebody-else");
    assert_fails(&verify(&scene.server, &scene.token), "this server's is somebody-else (LATCHKEY_AUDIENCE)");
    scene.server.set("ISSUER", "https://elsewhere.example");
    assert_fails(
        &verify(&scene.server, &scene.token),
        "this server is https://elsewhere.example (LATCHKEY_ISSUER)",
    );
    printed(&scene.server.run(&["key", "rotate"]));
    printed(&scene.server.run(&["key", "retire", "1", "--force", "--even-if-tokens-live"]));
    assert_fails(&verify(&scene.server, &scene.token), "there is no key for the token");
}

#[test]
fn a_refresh_token_can_be_looked_into_and_verified_too() {
    let server = Setup::new(SERVER).start();
    server.add_user("alice");
    let tokens = server.login("alice");
    let expected = format!("refresh token of session {}, generation 1, key 1", tokens.session);
    for command in ["inspect", "verify"] {
        let said = printed(&server.run_with_input(&["token", command], &tokens.refresh));
        assert!(said.contains(&expected), "{said}");
    }
    let forged =
        format!("{}{}", &tokens.refresh[..70], if tokens.refresh.ends_with("AA") { "BB" } else { "AA" });
    assert_fails(&server.run_with_input(&["token", "verify"], &forged), "tag is wrong");
}

#[test]
fn tail_follows_the_log_of_a_running_server() {
    let server = Setup::new(SERVER).start();
    let mut tail =
        server.command(&["audit", "tail", "--follow", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    server.add_user("alice");
    let entry: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&entry["event"], &entry["name"]), (&"user_added".into(), &"alice".into()));
    server.login("alice");
    let entry: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(entry["event"], "signed_in");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn serve_speaks_json_too() {
    let server = Setup::new(SERVER).with("LISTEN", "127.0.0.1:0").stopped();
    let mut child =
        server.command(&["serve", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let greeting = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let greeting: Value = serde_json::from_str(&greeting).unwrap();
    assert!(greeting["set_up"].as_str().unwrap().contains("/#setup="), "{greeting}");
    printed(&server.run_with_input(&["user", "add", "alice", "--password-stdin"], PASSWORD));
    let address = greeting["listening"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    latchkey_tests::http::Request::login("alice", PASSWORD).send(address);
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line: Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["request_id"].as_str().unwrap().len(), 16, "{line}");
    assert!(line["message"].as_str().unwrap().contains("signed in"), "{line}");
}
