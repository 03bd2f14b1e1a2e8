//! Puts the memory map of the target's board where the linker looks for it.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let target = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo names the architecture");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for the output"));
    let map = format!("memory/{target}.x");
    fs::copy(&map, out.join("memory.x")).expect("there is a map for each architecture");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed={map}");
}
