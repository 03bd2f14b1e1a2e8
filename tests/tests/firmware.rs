//! `token-core` on bare metal: builds the firmware for each target, runs it in QEMU, and holds it to its budgets.
//!
//! `cargo test -p latchkey-tests --test firmware -- --nocapture` prints the table. It needs `qemu-system-arm`,
//! `qemu-system-riscv32` and, for each target, either `rustup target add TARGET` or Debian's `rustc-web` with
//! `rust-web-src` and `lld`. What is missing is skipped, loudly; with `CI=true` it is an error.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use latchkey_tests::bare_metal::{Core, Image};

/// How long one firmware may run for what it does in a second.
const RUN_TIME_MAX: Duration = Duration::from_secs(60);

/// How much larger than measured anything may become, in percent, before the test fails.
const SLACK_PERCENT: u64 = 3;

/// A target, and what was measured on it by each of the two compilers.
struct Target {
    name: &'static str,
    processor: &'static str,
    emulator: &'static str,
    /// By Rust 1.95 of rustup.
    prebuilt: Figures,
    /// By Rust 1.96 of Debian.
    from_source: Figures,
}

/// What it costs to verify, then what it costs to sign.
struct Figures {
    /// Bytes over an empty firmware, of one that verifies, and of one that signs as well.
    flash: [u64; 2],
    /// Bytes of stack, at most.
    stack: [u64; 2],
    /// For a token of 201 characters.
    instructions: [u64; 2],
}

const TARGETS: [Target; 4] = [
    Target {
        name: "thumbv6m-none-eabi",
        processor: "Cortex-M0",
        emulator: "qemu-system-arm",
        prebuilt: Figures { flash: [7920, 9724], stack: [924, 732], instructions: [44625, 41688] },
        from_source: Figures { flash: [7272, 8860], stack: [924, 732], instructions: [45063, 42375] },
    },
    Target {
        name: "thumbv7m-none-eabi",
        processor: "Cortex-M3",
        emulator: "qemu-system-arm",
        prebuilt: Figures { flash: [8000, 9352], stack: [892, 708], instructions: [28280, 25240] },
        from_source: Figures { flash: [7100, 8436], stack: [892, 708], instructions: [28480, 25520] },
    },
    Target {
        name: "thumbv7em-none-eabi",
        processor: "Cortex-M4",
        emulator: "qemu-system-arm",
        prebuilt: Figures { flash: [8004, 9356], stack: [892, 708], instructions: [28280, 25240] },
        from_source: Figures { flash: [7104, 8440], stack: [892, 708], instructions: [28480, 25520] },
    },
    Target {
        name: "riscv32imc-unknown-none-elf",
        processor: "RISC-V imc",
        emulator: "qemu-system-riscv32",
        prebuilt: Figures { flash: [8628, 10320], stack: [876, 696], instructions: [35450, 32752] },
        from_source: Figures { flash: [8644, 10324], stack: [876, 696], instructions: [35564, 32979] },
    },
];

impl Target {
    fn measured(&self, core: Core) -> &Figures {
        match core {
            Core::Prebuilt => &self.prebuilt,
            Core::FromSource => &self.from_source,
        }
    }
}

#[test]
fn firmware_signs_and_verifies_within_its_budgets() {
    let mut table = String::new();
    let mut over_budget = Vec::new();
    for target in &TARGETS {
        let core = match Core::of(target.name, target.emulator) {
            Ok(core) => core,
            Err(missing) if env::var_os("CI").as_deref() == Some(OsStr::new("true")) => {
                panic!("{}: {missing}", target.name)
            }
            Err(missing) => {
                eprintln!("SKIPPED {}: {missing}", target.name);
                continue;
            }
        };
        let figures = measure(&Firmware { target, core });
        table += &row(target.processor, core, &figures);
        over_budget.extend(what_is_over_budget(target, core, &figures));
    }
    println!("\n{HEAD}{table}");
    assert!(over_budget.is_empty(), "over budget:\n{}", over_budget.join("\n"));
}

const HEAD: &str = "\
| processor  | core     | verify, flash | sign + verify, flash | static RAM | verify, stack | sign, stack | verify, instr. | sign, instr. |
|------------|----------|--------------:|---------------------:|-----------:|--------------:|------------:|---------------:|-------------:|
";

fn row(processor: &str, core: Core, found: &Figures) -> String {
    let core = match core {
        Core::Prebuilt => "prebuilt",
        Core::FromSource => "opt `s`",
    };
    let Figures { flash: [verify, both], stack, instructions } = found;
    // `measure` has made sure of it.
    let static_ram = 0;
    format!(
        "| {processor:10} | {core:8} | {verify:13} | {both:20} | {static_ram:10} | {:13} | {:11} | {:14} | {:12} |\n",
        stack[0], stack[1], instructions[0], instructions[1],
    )
}

fn what_is_over_budget(target: &Target, core: Core, found: &Figures) -> Vec<String> {
    let measured = target.measured(core);
    let pairs = [
        ("flash", found.flash, measured.flash),
        ("stack", found.stack, measured.stack),
        ("instructions", found.instructions, measured.instructions),
    ];
    pairs
        .into_iter()
        .flat_map(|(what, found, measured)| {
            [("verify", 0), ("sign", 1)].map(|(purpose, at)| (what, purpose, found[at], measured[at]))
        })
        .map(|(what, purpose, found, measured)| {
            (what, purpose, found, measured + measured * SLACK_PERCENT / 100)
        })
        .filter(|(_, _, found, budget)| found > budget)
        .map(|(what, purpose, found, budget)| {
            format!("{}: {what} to {purpose}: {found}, which is more than {budget}", target.name)
        })
        .collect()
}

/// The firmware crate, compiled for one target.
struct Firmware<'a> {
    target: &'a Target,
    core: Core,
}

impl Firmware<'_> {
    fn cargo(&self, command: &str) -> Command {
        self.core.cargo(self.target.name, "firmware", command, &self.folder())
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(match self.core {
            Core::Prebuilt => "firmware",
            Core::FromSource => "firmware-from-source",
        })
    }

    fn build(&self) {
        let status = self.cargo("build").arg("--bins").status().unwrap();
        assert!(status.success(), "the firmware for {} cannot be built", self.target.name);
    }

    /// What the firmware prints. Cargo replaces itself by the emulator, which is killed when it does not end.
    fn run(&self, program: &str) -> String {
        let mut child = self
            .cargo("run")
            .args(["--bin", program])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > RUN_TIME_MAX {
                child.kill().unwrap();
                panic!("{program} does not end on {}", self.target.name);
            }
            thread::sleep(Duration::from_millis(10));
        };
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert!(status.success(), "{program} fails on {}: {printed}", self.target.name);
        printed
    }

    fn image(&self, program: &str) -> Image {
        Image::read(&self.folder().join(self.target.name).join("release").join(program))
    }
}

fn measure(firmware: &Firmware<'_>) -> Figures {
    firmware.build();
    for program in ["empty", "door_lock", "gateway"] {
        firmware.run(program);
    }
    let printed = firmware.run("everything");
    let printed: HashMap<&str, u64> = printed
        .split_whitespace()
        .filter_map(|figure| figure.split_once('='))
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect();
    // The most that any path takes, also for tokens that are refused.
    let verify_stack = ["verify_stack", "flat_header_stack", "flat_claims_stack"]
        .into_iter()
        .map(|name| printed[name])
        .max()
        .unwrap();

    let [empty, door_lock, gateway] =
        ["empty", "door_lock", "gateway"].map(|program| firmware.image(program));
    for image in [&door_lock, &gateway] {
        assert!(image.mentions("compress256"), "the firmware has its symbols");
        assert!(!image.mentions("core9panicking"), "something in the firmware can panic");
    }
    for image in [&door_lock, &gateway] {
        assert_eq!(image.static_ram(), empty.static_ram(), "token-core has no statics that are written to");
    }
    Figures {
        flash: [&door_lock, &gateway].map(|image| image.flash() - empty.flash()),
        stack: [verify_stack, printed["sign_stack"]],
        instructions: [printed["verify_instructions"], printed["sign_instructions"]],
    }
}
