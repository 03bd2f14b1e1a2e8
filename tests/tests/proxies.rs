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
fn example(name: &str, latchkey: u16, service: u16, proxy: u16) -> String {
    let text = fs::read_to_string(Path::new(EXAMPLES).join(name)).unwrap();
    let ports = [("8080", latchkey), ("9000", service), ("8088", proxy)];
    // Numbers of ports that are free could be one another's.
    let marked =
        ports.iter().fold(text, |text, (port, _)| text.replace(&format!(":{port}"), &format!(":<{port}>")));
    ports.iter().fold(marked, |text, (port, free)| text.replace(&format!("<{port}>"), &free.to_string()))
}

/// Latchkey and a service behind a proxy.
struct Stack {
    server: Server,
    proxy: SocketAddr,
    _running: Running,
}

impl Stack {
    /// Starts it; `start` gets the example, and a folder.
    fn start(name: &str, start: impl FnOnce(String, &Path) -> Command) -> Self {
        let port = free_port();
        let server = Setup::new(SERVER)
            .with("PUBLIC_URL", format!("http://localhost:{port}"))
            .with("TRUSTED_PROXIES", "127.0.0.1")
            .start();
        server.add_user("alice");
        let example = example(name, server.address().port(), start_service(), port);
        let mut command = start(example, server.folder());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let stack = Self { server, proxy: (Ipv4Addr::LOCALHOST, port).into(), _running: Running(child) };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(stack.proxy).is_err() {
            assert!(Instant::now() < deadline, "{name}: the proxy does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        stack
    }

    fn send(&self, request: Request) -> Answer {
        request.send(self.proxy)
    }
}

fn protects_a_service(stack: &Stack) {
    let cookie_of = |token: &str| format!("latchkey-dev-{}={token}", stack.proxy.port());

    let refused = stack.send(Request::get("/app/hello"));
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(
        refused.field("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")),
        "{refused:?}"
    );
    assert_eq!(stack.send(Request::get("/app/hello").bearer("x.y.z")).status, 401);
    let made_up = Request::get("/app/hello").field("X-Auth-User", "1").field("X-Auth-Role", "admin");
    assert_eq!(stack.send(made_up).status, 401);

    let answer = stack.send(Request::login("alice", PASSWORD));
    assert_eq!(answer.status, 200, "Latchkey's own API is there: {answer:?}");
    let alice = Tokens::from(&answer);

    for with_other_cookies in ["{}", "{}; theme=dark", "theme=dark; {}", "a=b; {}; theme=dark"] {
        let cookies = with_other_cookies.replace("{}", &cookie_of(&alice.refresh));
        let request = Request::get("/app/hello?x=1")
            .field("Cookie", &cookies)
            .field("X-Auth-User", "0000000000000001")
            .field("X-Auth-Name", "root")
            .field("X-Auth-Role", "admin");
        let seen = stack.send(request);
        assert_eq!(seen.status, 200, "{seen:?}");
        let seen = seen.body.to_ascii_lowercase();
        assert!(seen.starts_with("get /app/hello?x=1\n"), "{seen}");
        assert!(seen.contains("x-auth-name: alice\n") && seen.contains("x-auth-role: user\n"), "{seen}");
        assert_eq!(seen.matches("x-auth-").count(), 3, "and none that the client made up: {seen}");
        assert!(!seen.contains(&alice.refresh.to_ascii_lowercase()), "{seen}");
        assert!(!seen.contains("latchkey-dev"), "{seen}");
        assert_eq!(seen.contains("theme=dark"), cookies.contains("theme=dark"), "{seen}");
    }

    let by_token =
        stack.send(Request::post("/app/things").bearer(&alice.access).body("text/plain", "a thing"));
    assert_eq!(by_token.status, 200, "{by_token:?}");
    let seen = by_token.body.to_ascii_lowercase();
    assert!(seen.contains("x-auth-name: alice\n") && !seen.contains("authorization"), "{seen}");

    let other_site = Request::post("/app/things")
        .field("Cookie", &cookie_of(&alice.refresh))
        .field("Origin", "https://evil.example")
        .field("Sec-Fetch-Site", "same-site");
    assert_eq!(stack.send(other_site).status, 403);

    assert!(stack.server.run(&["user", "disable", "alice"]).status.success());
    let thrown_out = stack.send(Request::get("/app/hello").field("Cookie", &cookie_of(&alice.refresh)));
    assert_eq!(thrown_out.status, 401);
}

#[test]
fn the_nginx_example_protects_a_service() {
    if !is_there("nginx") {
        return;
    }
    let stack = Stack::start("nginx.conf", |example, folder| {
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
    });
    protects_a_service(&stack);
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
