//! The examples for nginx and Caddy, run in the real proxies: who is not signed in does not get through, and the service
//! behind sees who it is, no token, and nothing that the client made up.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use latchkey_tests::http::{Answer, Request};
use latchkey_tests::server::{PASSWORD, Server, Setup, Tokens};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// A proxy may take so long to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops the proxy when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a program is there; loud when it is not, and an error where everything has to be tested.
fn is_there(program: &str) -> bool {
    let is_there =
        Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} has to be installed");
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed, and its example not tested");
    }
    is_there
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A service that answers with the head of each request it gets.
fn start_service() -> u16 {
    let service = tiny_http::Server::http((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = service.server_addr().to_ip().unwrap().port();
    thread::spawn(move || {
        for request in service.incoming_requests() {
            let fields = request.headers().iter().map(|field| format!("{}: {}\n", field.field, field.value));
            let seen = format!("{} {}\n{}", request.method(), request.url(), fields.collect::<String>());
            // The client may have gone.
            let _ = request.respond(tiny_http::Response::from_string(seen));
        }
    });
    port
}

/// The example with the ports of this test.
fn example(name: &str, ports: [(&str, u16); 4]) -> String {
    let text = fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap();
    // Numbers of ports that are free could be one another's.
    let marked = ports.iter().fold(text, |text, (port, _)| text.replace(port, &format!("<{port}>")));
    ports.iter().fold(marked, |text, (port, free)| text.replace(&format!("<{port}>"), &free.to_string()))
}

/// Latchkey and a service, both behind a proxy.
struct Stack {
    server: Server,
    latchkey: SocketAddr,
    service: SocketAddr,
    _running: Running,
}

impl Stack {
    /// Starts it as the example says; `start` gets the example, and a folder.
    fn start(name: &str, start: impl FnOnce(String, &Path) -> Command) -> Self {
        let as_advised = |setup: Setup, port| {
            setup.with("PUBLIC_URL", format!("http://localhost:{port}")).with("TRUSTED_PROXIES", "127.0.0.1")
        };
        Self::start_with(name, as_advised, start)
    }

    /// Starts it with other settings, which `set_up` makes knowing Latchkey's port at the proxy.
    fn start_with(
        name: &str,
        set_up: impl FnOnce(Setup, u16) -> Setup,
        start: impl FnOnce(String, &Path) -> Command,
    ) -> Self {
        let (latchkey, service) = (free_port(), free_port());
        let server = set_up(Setup::new(SERVER), latchkey).start();
        server.add_user("alice");
        let behind = [("8080", server.address().port()), ("9000", start_service())];
        let [first, second] = behind;
        let example = example(name, [first, second, ("8088", latchkey), ("8089", service)]);
        let mut command = start(example, server.folder());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stack = Self { server, latchkey: at(latchkey), service: at(service), _running: Running(child) };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(stack.latchkey).is_err() || TcpStream::connect(stack.service).is_err() {
            assert!(Instant::now() < deadline, "{name}: the proxy does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        stack
    }

    /// Asks the service, through the proxy.
    fn ask(&self, request: Request) -> Answer {
        request.send(self.service)
    }

    fn cookie(&self, token: &str) -> String {
        format!("latchkey-dev-{}={token}", self.latchkey.port())
    }

    /// What the service saw of a request that has to get through, in lower case.
    fn seen(&self, request: Request) -> String {
        let answer = self.ask(request);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.to_ascii_lowercase()
    }
}

/// At the URL of the example's comment the page is there, by another name of this machine it leads there, and other machines
/// find nobody.
fn is_where_its_comment_says(stack: &Stack) {
    let port = stack.latchkey.port();
    let at = |host: &str| Request::get("/").field("Host", &format!("{host}:{port}")).send(stack.latchkey);
    let page = at("localhost");
    assert!(page.status == 200 && page.body.contains("<title>"), "{page:?}");
    let by_address = at("127.0.0.1");
    let location = format!("http://localhost:{port}/");
    assert_eq!((by_address.status, by_address.field("location")), (307, Some(&*location)));
    for port in [port, stack.service.port()] {
        let from_outside = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port));
        assert!(from_outside.is_err(), "port {port} is open on other addresses than 127.0.0.1");
    }
}

fn protects_a_service(stack: &Stack) {
    is_where_its_comment_says(stack);
    let refused = stack.ask(Request::get("/hello"));
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(
        refused.field("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")),
        "{refused:?}"
    );
    assert_eq!(stack.ask(Request::get("/hello").bearer("x.y.z")).status, 401);
    let made_up = Request::get("/hello").field("X-Auth-User", "1").field("X-Auth-Role", "admin");
    assert_eq!(stack.ask(made_up).status, 401);

    let answer = Request::login("alice", PASSWORD).send(stack.latchkey);
    assert_eq!(answer.status, 200, "{answer:?}");
    let alice = Tokens::from(&answer);
    says_who_it_is_and_nothing_else(stack, &alice);
    hands_the_service_no_token(stack, &alice);

    let other_site = Request::post("/things")
        .field("Cookie", &stack.cookie(&alice.refresh))
        .field("Origin", "https://evil.example")
        .field("Sec-Fetch-Site", "same-site");
    assert_eq!(stack.ask(other_site).status, 403);
    let script_of_the_service = Request::post("/api/auth/refresh")
        .field("Cookie", &stack.cookie(&alice.refresh))
        .field("Origin", &format!("http://localhost:{}", stack.service.port()))
        .field("Sec-Fetch-Site", "same-site");
    script_of_the_service.send(stack.latchkey).assert_refused(403, "cross_site", "none");

    assert!(stack.server.run(&["user", "disable", "alice"]).status.success());
    let thrown_out = stack.ask(Request::get("/hello").field("Cookie", &stack.cookie(&alice.refresh)));
    assert_eq!(thrown_out.status, 401);
}

/// Whatever the client makes up, in whatever spelling, and whatever it asks not to be passed on.
fn says_who_it_is_and_nothing_else(stack: &Stack, alice: &Tokens) {
    for (name, value) in [
        ("X-Auth-User", "0000000000000001"),
        ("x-auth-name", "root"),
        ("X-Auth-Role", "admin"),
        ("X_Auth_User", "0000000000000001"),
        ("X-Auth_Role", "admin"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("Connection", "close, X-Auth-User, X-Auth-Name, X-Auth-Role"),
    ] {
        let request =
            Request::get("/hello?x=1").field("Cookie", &stack.cookie(&alice.refresh)).field(name, value);
        let seen = stack.seen(request);
        assert!(seen.starts_with("get /hello?x=1\n"), "{seen}");
        assert!(
            seen.contains("x-auth-name: alice\n") && seen.contains("x-auth-role: user\n"),
            "{name}: {seen}"
        );
        let about_whom = seen.lines().filter(|line| line.starts_with("x-auth") || line.starts_with("x_auth"));
        assert_eq!(about_whom.count(), 3, "{name}: {seen}");
        assert!(!seen.contains("6.6.6.6"), "{seen}");
    }
    let by_token = Request::post("/things").bearer(&alice.access).body("text/plain", "a thing");
    assert!(stack.seen(by_token).contains("x-auth-name: alice\n"));
}

/// Wherever the cookie stands among others.
fn hands_the_service_no_token(stack: &Stack, alice: &Tokens) {
    for around in [
        "{}",
        "{}; theme=dark",
        "theme=dark; {}",
        "theme=dark;{}",
        "a=b; {}; theme=dark",
        "theme=dark;\t{}",
        "latchkey-dev-1=x; {}; theme=dark",
        "__Host-latchkey=x; {}",
        "{}; latchkey-dev-1=x",
        "__Host-latchkey-8443=x; {}",
    ] {
        let cookies = around.replace("{}", &stack.cookie(&alice.refresh));
        let seen = stack.seen(Request::get("/").field("Cookie", &cookies));
        assert!(!seen.contains(&alice.refresh.to_ascii_lowercase()), "{around}: {seen}");
        assert_eq!(seen.contains("theme=dark"), cookies.contains("theme=dark"), "{seen}");
    }
    // A doubled one is refused by Latchkey, which nginx turns into an error of its own.
    let twice = format!("{0}; {0}", stack.cookie(&alice.refresh));
    assert!(stack.ask(Request::get("/").field("Cookie", &twice)).status >= 400);
    let many = "a=1; ".repeat(600) + "theme=dark";
    let seen = stack.seen(Request::get("/").bearer(&alice.access).field("Cookie", &many));
    assert!(seen.contains("theme=dark") && !seen.contains("authorization"), "{seen}");
}

/// nginx with the example.
fn nginx(example: String, folder: &Path) -> Command {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};\n", folder.display()))
        .concat();
    let around = format!("events {{}}\nhttp {{\naccess_log off;\n{temporary}\n{example}\n}}\n");
    fs::write(folder.join("nginx.conf"), around).unwrap();
    let mut nginx = Command::new("nginx");
    let pid = folder.join("nginx.pid");
    nginx.arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
    // One process, so that killing it ends all of it.
    nginx.args(["-g", &format!("daemon off; master_process off; pid {};", pid.display())]);
    nginx
}

#[test]
fn the_nginx_example_protects_a_service() {
    if is_there("nginx") {
        protects_a_service(&Stack::start("nginx.conf", nginx));
    }
}

/// Anybody's twenty failures would make everybody wait, and nothing said so.
#[test]
fn whoever_forgets_to_list_nginx_is_told_at_start_and_by_the_first_request() {
    if !is_there("nginx") {
        return;
    }
    let https = |setup: Setup, _| setup.with("PUBLIC_URL", "https://auth.example.com");
    let stack = Stack::start_with("nginx.conf", https, nginx);
    let told = |text: &str| stack.server.log().matches(text).count();
    assert_eq!(told("LATCHKEY_TRUSTED_PROXIES names none"), 1);
    let seen = "came through a proxy at 127.0.0.1, which is not in LATCHKEY_TRUSTED_PROXIES";
    assert_eq!(told(seen), 0);
    for _ in 0..3 {
        assert_eq!(Request::get("/healthz").send(stack.latchkey).status, 200);
    }
    assert_eq!(told(seen), 1, "{}", stack.server.log());

    let other = |setup: Setup, _| {
        setup.with("PUBLIC_URL", "https://auth.example.com").with("TRUSTED_PROXIES", "127.0.0.2")
    };
    let stack = Stack::start_with("nginx.conf", other, nginx);
    Request::get("/healthz").send(stack.latchkey);
    assert!(stack.server.log().contains(seen), "another one is listed");
}

/// What nginx does unless it is told otherwise.
#[test]
fn whoever_forgets_that_nginx_has_to_say_for_whom_it_asks_is_told_by_the_first_log_in() {
    if !is_there("nginx") {
        return;
    }
    let https = |setup: Setup, _| {
        setup.with("PUBLIC_URL", "https://auth.example.com").with("TRUSTED_PROXIES", "127.0.0.1")
    };
    let seen = "came through a proxy at 127.0.0.1, which does not say for whom";
    let log_in = || {
        let request = Request::login("alice", PASSWORD).field("Sec-Fetch-Site", "same-origin");
        request.field("Origin", "https://auth.example.com")
    };
    let silent = |example: String, folder: &Path| {
        nginx(example.replace("proxy_set_header X-Forwarded-For $remote_addr;", ""), folder)
    };
    let stack = Stack::start_with("nginx.conf", https, silent);
    assert_eq!(log_in().send(stack.latchkey).status, 200);
    assert!(stack.server.log().contains(seen), "{}", stack.server.log());

    let stack = Stack::start_with("nginx.conf", https, nginx);
    assert_eq!(log_in().send(stack.latchkey).status, 200);
    assert!(!stack.server.log().contains("WARN"), "{}", stack.server.log());
}

#[test]
fn a_proxy_that_is_listed_is_nothing_to_tell() {
    if !is_there("nginx") {
        return;
    }
    let stack = Stack::start("nginx.conf", nginx);
    assert_eq!(Request::get("/healthz").send(stack.latchkey).status, 200);
    assert!(!stack.server.log().contains("WARN"), "{}", stack.server.log());
}

/// nginx sends what browsers say of themselves on to a server that was not told its name.
#[test]
fn whoever_forgets_the_public_url_is_told_by_the_first_log_in() {
    if !is_there("nginx") {
        return;
    }
    let nothing = |setup: Setup, _| setup.with("TRUSTED_PROXIES", "127.0.0.1");
    let stack = Stack::start_with("nginx.conf", nothing, nginx);
    let log_in = Request::login("alice", PASSWORD)
        .field("Host", "auth.example.com")
        .field("Origin", "https://auth.example.com")
        .field("Sec-Fetch-Site", "same-origin");
    assert_eq!(log_in.send(stack.latchkey).status, 200);
    let log = stack.server.log();
    assert!(
        log.contains("without Secure; if that is its name, set LATCHKEY_PUBLIC_URL=https://auth.example.com"),
        "{log}"
    );
}

#[test]
fn the_caddy_example_protects_a_service() {
    if !is_there("caddy") {
        return;
    }
    let stack = Stack::start("Caddyfile", |example, folder| {
        fs::write(folder.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{example}")).unwrap();
        let mut caddy = Command::new("caddy");
        caddy
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(folder.join("Caddyfile"))
            .env("HOME", folder);
        caddy
    });
    protects_a_service(&stack);
}
