//! Puts the memory map where the linker looks for it.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for the output"));
    fs::copy("memory.x", out.join("memory.x")).expect("the map is beside this file");
    // No interrupt of the board has a handler of its own.
    fs::write(out.join("device.x"), "").expect("the folder can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=memory.x");
}
