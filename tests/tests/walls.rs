//! The walls of the architecture: which file may name which resource, and what every file begins with.

use std::fs;
use std::path::{Path, PathBuf};

/// A word, the one place in the server that may use it, and why it is nobody else's.
const WALLS: &[(&str, &str)] = &[
    ("redb::", "store"),
    ("tiny_http::", "http"),
    ("SystemTime", "clock.rs"),
    ("Instant", "clock.rs"),
    ("getrandom", "entropy.rs"),
    ("argon2::", "hasher.rs"),
    ("rpassword::", "cli"),
    ("clap::", "cli"),
    ("println!", "cli"),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_resource_has_one_owner() {
    let server = workspace().join("server/src");
    let mut files = Vec::new();
    rust_files(&server, &mut files);
    assert!(files.len() > 20, "the server's files are where this test looks");
    for file in files {
        let inside = file.strip_prefix(&server).unwrap();
        if inside.to_string_lossy().ends_with("tests.rs") {
            continue;
        }
        let code = fs::read_to_string(&file).unwrap();
        for (word, owner) in WALLS {
            assert!(
                inside.starts_with(owner) || !code.contains(word),
                "{} names {word}, which only {owner} may",
                inside.display()
            );
        }
    }
}

#[test]
fn token_core_and_client_know_nothing_of_the_server() {
    for package in ["token-core", "client"] {
        let manifest = fs::read_to_string(workspace().join(package).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
        let names = dependencies.lines().filter_map(|line| line.split(['=', '.', ' ']).next());
        assert!(names.clone().count() > 5, "the dependencies of {package} are where this test looks");
        let ours = ["latchkey", "latchkey-client", "latchkey-tests"];
        assert!(!names.into_iter().any(|name| ours.contains(&name)), "{package} depends on ours");
    }
}

#[test]
fn every_file_opens_with_a_sentence_saying_what_it_is_for() {
    let mut files = Vec::new();
    rust_files(&workspace(), &mut files);
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        let first = code.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! "), "{} begins with {first:?}", file.display());
    }
}
