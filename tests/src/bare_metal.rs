//! Compilers and emulators for bare metal, and what an image for it takes of a device's memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The system's compiler of Debian's `rustc-web`, which has no target but the host's, and the sources of its core.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/src/rust/library/core";

/// Where the core library of a target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// With the target, by rustup.
    Prebuilt,
    /// From Debian's sources, optimised as the firmware is.
    FromSource,
}

impl Core {
    /// Where to take the target's core from, or what to install.
    ///
    /// # Errors
    /// A sentence for whoever wants to have it tested.
    pub fn of(target: &str, emulator: &str) -> Result<Self, String> {
        Self::all(target, emulator).map(|cores| cores[0])
    }

    /// Everywhere that the target's core can be taken from, one at least, or what to install.
    ///
    /// # Errors
    /// A sentence for whoever wants to have it tested.
    pub fn all(target: &str, emulator: &str) -> Result<Vec<Self>, String> {
        if !is_command(emulator) {
            return Err(format!(
                "there is no {}: apt-get install qemu-system-arm qemu-system-misc",
                emulator
            ));
        }
        let listed =
            Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output().ok();
        let folder = listed.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        let mut cores = Vec::new();
        if folder.is_some_and(|folder| folder.is_dir()) {
            cores.push(Core::Prebuilt);
        }
        if Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_CORE).exists() && is_command("ld.lld") {
            cores.push(Core::FromSource);
        }
        if cores.is_empty() {
            return Err(format!(
                "there is no compiler for it: rustup target add {}, or apt-get install rustc-web rust-web-src lld",
                target
            ));
        }
        Ok(cores)
    }

    /// A `cargo` for a crate beside this one that knows the target, and nothing of what it was itself started with.
    pub fn cargo(self, target: &str, package: &str, command: &str, folder: &Path) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(package));
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL"] {
            cargo.env_remove(name);
        }
        cargo.env("CARGO_TARGET_DIR", folder);
        cargo.args([command, "--quiet", "--release", "--locked", "--target", target]);
        if let Core::FromSource = self {
            // What rustup calls nightly: only there may core be built.
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core");
            let name = target.to_uppercase().replace('-', "_");
            cargo.env(format!("CARGO_TARGET_{name}_LINKER"), "ld.lld");
        }
        cargo
    }
}

fn is_command(name: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(name).is_file())
}

/// An ELF file of 32 bits, little endian, as far as it tells sizes (System V ABI, chapter 4).
#[derive(Debug)]
pub struct Image(Vec<u8>);

/// A section that is in the device's memory.
struct Section {
    len: u64,
    is_writable: bool,
    /// Whether its contents are in the file, and so in the device's flash.
    is_stored: bool,
}

impl Image {
    /// Reads the file.
    pub fn read(path: &Path) -> Self {
        Self(fs::read(path).unwrap())
    }

    const WRITE: u32 = 1;
    const ALLOC: u32 = 2;
    const NOBITS: u32 = 8;

    /// Bytes of flash.
    pub fn flash(&self) -> u64 {
        self.sections().filter(|section| section.is_stored).map(|section| section.len).sum()
    }

    /// Bytes of RAM for statics.
    pub fn static_ram(&self) -> u64 {
        self.sections().filter(|section| section.is_writable).map(|section| section.len).sum()
    }

    fn sections(&self) -> impl Iterator<Item = Section> {
        let table = self.word(32) as usize;
        let [entry_len, count] = [46, 48].map(|at| usize::from(self.word(at) as u16));
        (0..count).map(move |index| table + index * entry_len).filter_map(|header| {
            let [kind, flags, len] = [4, 8, 20].map(|at| self.word(header + at));
            (flags & Image::ALLOC != 0).then_some(Section {
                len: u64::from(len),
                is_writable: flags & Image::WRITE != 0,
                is_stored: kind != Image::NOBITS,
            })
        })
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// Whether a symbol has this in its name, which is how the compiler writes a path: lengths before names.
    pub fn mentions(&self, part: &str) -> bool {
        self.0.windows(part.len()).any(|window| window == part.as_bytes())
    }
}
