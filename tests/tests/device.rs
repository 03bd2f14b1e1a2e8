//! A microcontroller in QEMU signs in to the real server, uses its access token, meets the 401 when it has expired,
//! refreshes, repeats, verifies the token itself, and signs out; and takes no more memory than it may.
//!
//! `cargo test -p latchkey-tests --test device -- --nocapture` prints what it takes. It needs `qemu-system-arm` and either
//! `rustup target add thumbv7m-none-eabi` or Debian's `rustc-web` with `rust-web-src` and `lld`; with both it measures
//! both. What is missing is skipped, loudly; with `CI=true` it is an error.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use latchkey_tests::bare_metal::{Core, Image};
use latchkey_tests::http::Request;
use latchkey_tests::server::{Server, Setup, printed};

const SERVER: &str = env!("CARGO_BIN_EXE_server-under-test");
const RELAY: &str = env!("CARGO_BIN_EXE_relay");

const TARGET: &str = "thumbv7m-none-eabi";
const EMULATOR: &str = "qemu-system-arm";

/// How long the device may take for what it does in ten seconds.
const RUN_TIME_MAX: Duration = Duration::from_secs(90);

/// Bytes of flash with DHCP, as measured with Rust 1.95 of rustup and its core, and the slack they have.
const FLASH: u64 = 44_976;
const SLACK_PERCENT: u64 = 3;

/// Bytes of flash with DHCP, at most, when core is built from source like all the rest: for size, and with panics that
/// abort at once and say nothing.
const FLASH_FROM_SOURCE_MAX: u64 = 41 * 1024;

/// Besides those in `device/.cargo/config.toml`. The second says to compiler-builtins what is true of a Cortex-M3: that it
/// copies words from and to any address.
const FROM_SOURCE_FLAGS: &str = "-Zunstable-options -Cpanic=immediate-abort --cfg=feature=\"mem-unaligned\"";

/// Bytes of RAM, stack and frame buffers included.
const RAM_MAX: u64 = 10 * 1024;

#[test]
fn a_device_signs_in_and_stays_signed_in_within_its_budgets() {
    let cores = match Core::all(TARGET, EMULATOR) {
        Ok(cores) => cores,
        Err(missing) if env::var("CI").as_deref() == Ok("true") => panic!("{missing}"),
        Err(missing) => return eprintln!("SKIPPED: {missing}"),
    };
    for core in cores {
        let program = build(core);
        let stack = live(&program);
        let image = Image::read(&program);
        let (flash, static_ram) = (image.flash(), image.static_ram());
        let (built, flash_max) = match core {
            Core::Prebuilt => ("core of rustup", FLASH + FLASH * SLACK_PERCENT / 100),
            Core::FromSource => ("core from source", FLASH_FROM_SOURCE_MAX),
        };
        println!(
            "device, {built}: {flash} bytes of flash with DHCP; RAM: {static_ram} static + {stack} stack = {}",
            static_ram + stack
        );
        assert!(flash <= flash_max, "{flash} bytes of flash with the {built}");
        assert!(static_ram + stack <= RAM_MAX, "{static_ram} + {stack} bytes of RAM with the {built}");
    }
}

/// The device's program.
fn build(core: Core) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(match core {
        Core::Prebuilt => "device",
        Core::FromSource => "device-from-source",
    });
    let mut cargo = core.cargo(TARGET, "device", "build", &folder);
    if let Core::FromSource = core {
        cargo.arg("-Zbuild-std-features=optimize_for_size");
        cargo.env("CARGO_TARGET_THUMBV7M_NONE_EABI_RUSTFLAGS", FROM_SOURCE_FLAGS);
    }
    assert!(cargo.status().unwrap().success());
    folder.join(TARGET).join("release/latchkey-device")
}

/// Lets the device sign in and so on, and returns how many bytes of stack it used.
fn live(program: &Path) -> u64 {
    let server = server();
    let output = run(program, &server);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let round = "asked: 200\nverified\n";
    assert!(said.contains(&format!("signed in\n{}signed out\n", round.repeat(3))), "{said}");

    // What the server saw: one log-in, and a 401 and a rotation for each of the two pauses.
    assert_eq!([counted(&server, "log_ins"), counted(&server, "answers_4xx")], [1, 2], "{said}");
    assert_eq!(rotations(&server), 2, "{said}");
    said.lines().find_map(|line| line.strip_prefix("stack=")).unwrap().parse().unwrap()
}

/// Access tokens of two seconds, and every refresh rotates.
fn server() -> Server {
    let setup = Setup::new(SERVER).with("ACCESS_TTL_SECS", 2).with("GRACE_SECS", 0);
    let server = setup.with("ISSUER", "latchkey").with("AUDIENCE", "devices").start();
    server.add_user("device");
    let secret = printed(&server.run(&["key", "export", "access", "--format", "hex"]));
    let pairs = secret.trim().as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    let secret: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    fs::write(server.folder().join("access.key"), secret).unwrap();
    server
}

/// Runs the device without any network but to the server.
fn run(program: &Path, server: &Server) -> Output {
    let network =
        format!("user,model=lan9118,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:{RELAY} {}", server.address());
    let mut child = Command::new(EMULATOR)
        .args(["-machine", "mps2-an385", "-nographic", "-nic", &network])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(program)
        .current_dir(server.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > RUN_TIME_MAX {
            child.kill().unwrap();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn counted(server: &Server, name: &str) -> u64 {
    let metrics = server.send(Request::get("/metrics")).body;
    let start = format!("latchkey_{name}_total ");
    metrics.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
}

/// Each refresh shows a new token with a key of its own, and brings another.
fn rotations(server: &Server) -> u64 {
    ["rotated", "retried"].map(|kind| counted(server, &format!("refreshes_{kind}"))).iter().sum()
}
