//! The documents tell the truth: settings, commands and limits stand in them as they stand in the code.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use latchkey::problem::Code;
use latchkey::settings::{Given, SETTINGS};

fn document(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn env_example_lists_every_setting_with_its_purpose_range_and_default() {
    let example = document(".env.example");
    let names: Vec<_> = example.lines().filter_map(|line| line.strip_prefix("#LATCHKEY_")).collect();
    assert_eq!(names.len(), SETTINGS.len());
    for setting in SETTINGS {
        let assignment = format!("#{}=", setting.name);
        let (before, after) =
            example.split_once(&assignment).unwrap_or_else(|| panic!("{} is missing", setting.name));
        let comment = before.lines().last().unwrap();
        assert!(comment.starts_with(&format!("# {}: {}", setting.help, setting.range)), "{comment}");
        let value = after.lines().next().unwrap();
        let is_literal = setting.default.bytes().all(|b| b.is_ascii_digit()) || setting.default == "standard";
        assert!(!is_literal || value == setting.default, "{}={value}", setting.name);
    }
}

#[test]
fn env_example_uncommented_is_the_same_as_no_settings_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    fs::write(&path, document(".env.example").replace("#LATCHKEY_", "LATCHKEY_")).unwrap();
    let from_example = Given::gather([], [], &path).unwrap().resolve().unwrap();
    let defaults = Given::default().resolve().unwrap();
    assert_eq!(from_example.key_file, defaults.key_file);
    assert_eq!(from_example.listen, defaults.listen);
    assert_eq!(from_example.access_ttl_secs, defaults.access_ttl_secs);
    assert_eq!(format!("{:?}", from_example.policy), format!("{:?}", defaults.policy));
    assert_eq!(from_example.argon2_slots, defaults.argon2_slots);
    assert_eq!(from_example.argon2_profile, defaults.argon2_profile);
}

#[test]
fn the_readme_names_every_setting_with_its_default() {
    let readme = document("README.md");
    for setting in SETTINGS {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{}`", setting.name)));
        let row = row.unwrap_or_else(|| panic!("{} is missing", setting.name));
        assert!(row.contains(setting.default) && row.contains(setting.range), "{row}");
    }
}

#[test]
fn the_readme_names_every_code_a_client_can_meet() {
    let readme = document("README.md");
    for code in Code::ALL {
        assert!(readme.contains(&format!("`{}`", code.as_str())), "{code:?} is missing");
    }
}

#[test]
fn the_architecture_is_read_in_one_sitting() {
    let lines = document("ARCHITECTURE.md").lines().count();
    assert!(lines <= 140, "{lines} lines");
}

/// The requirements of a section of ASVS 5.0.0: chapters 3, 6, 7, 9 and 10.
const ASVS_SECTIONS: [(&str, u8); 29] = [
    ("3.1", 1),
    ("3.2", 3),
    ("3.3", 5),
    ("3.4", 8),
    ("3.5", 8),
    ("3.6", 1),
    ("3.7", 5),
    ("6.1", 3),
    ("6.2", 12),
    ("6.3", 8),
    ("6.4", 6),
    ("6.5", 8),
    ("6.6", 4),
    ("6.7", 2),
    ("6.8", 4),
    ("7.1", 3),
    ("7.2", 4),
    ("7.3", 2),
    ("7.4", 5),
    ("7.5", 3),
    ("7.6", 2),
    ("9.1", 3),
    ("9.2", 4),
    ("10.1", 2),
    ("10.2", 3),
    ("10.3", 5),
    ("10.4", 16),
    ("10.5", 5),
    ("10.6", 2),
];

/// The requirements that a row of `tests/asvs.md` is about: `3.7.2`, or all of `3.7.2–3.7.3`.
fn requirements(row: &str) -> Vec<String> {
    let numbers = row.trim_start_matches("| ").split(" |").next().unwrap();
    let (first, last) = numbers.split_once('–').unwrap_or((numbers, numbers));
    let split = |number: &str| {
        number.rsplit_once('.').map(|(section, place)| (section.to_owned(), place.parse::<u8>()))
    };
    let (Some((section, Ok(first))), Some((_, Ok(last)))) = (split(first), split(last)) else {
        return Vec::new();
    };
    (first..=last).map(|place| format!("{section}.{place}")).collect()
}

#[test]
fn every_requirement_of_five_chapters_of_asvs_is_answered_once() {
    let trace = document("tests/asvs.md");
    let answered: Vec<_> =
        trace.lines().filter(|line| line.starts_with("| ")).flat_map(requirements).collect();
    let sections = ASVS_SECTIONS.into_iter().chain([("10.7", 3)]);
    for (section, count) in sections {
        for place in 1..=count {
            let number = format!("{section}.{place}");
            assert_eq!(answered.iter().filter(|answer| **answer == number).count(), 1, "{number}");
        }
    }
    for row in trace.lines().filter(|line| line.starts_with("| ") && !requirements(line).is_empty()) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, number, verdict, how, shown_by, _] = cells[..] else { panic!("{row}") };
        assert!(["yes", "in part", "**no**", "n/a"].contains(&verdict), "{number}: {verdict}");
        let needs_a_test = ["yes", "in part"].contains(&verdict) && !how.starts_with("see ");
        assert!(!needs_a_test || !shown_by.is_empty(), "{number} is not shown");
        assert!(verdict == "yes" || !how.is_empty(), "{number} is not argued");
    }
}

#[test]
fn the_tests_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut code = String::new();
    for folder in ["server", "client", "token-core", "tests/tests"] {
        read_rust(&root.join(folder), &mut code);
    }
    let tests: HashSet<_> = code.split("#[test]\n").skip(1).filter_map(first_function).collect();
    let is_target = |name: &str| root.join(format!("fuzz/fuzz_targets/{name}.rs")).exists();
    // How many rows of each name a test at least.
    for (name, fewest) in [("tests/asvs.md", 80), ("SECURITY.md", 35), ("tests/peers-cves.md", 30)] {
        let document = document(name);
        let named: Vec<_> = rows(&document).map(tests_of).filter(|tests| !tests.is_empty()).collect();
        assert!(named.len() >= fewest, "{} rows of {name} name a test", named.len());
        for test in named.concat() {
            assert!(tests.contains(test) || is_target(test), "{name}: {test}");
        }
    }
}

#[test]
fn every_advisory_is_listed_once_and_is_excluded_by_a_test_or_a_reason() {
    let document = document("tests/peers-cves.md");
    let (applies, impossible) = document.split_once("\n## What cannot happen here\n").unwrap();
    for row in rows(applies).filter(|row| is_advisory(row)) {
        assert!(!tests_of(row).is_empty(), "no test excludes {row}");
    }
    for row in rows(impossible).filter(|row| is_advisory(row)) {
        assert!(row.split('|').nth(4).is_some_and(|why| !why.trim().is_empty()), "no reason excludes {row}");
    }
    let advisories = rows(&document).filter(|row| is_advisory(row)).flat_map(|row| {
        let identifiers = row.split('|').nth(1).unwrap();
        identifiers.split(',').map(str::trim)
    });
    let mut known = HashSet::new();
    for advisory in advisories {
        assert!(is_advisory(&format!("| {advisory} |")), "{advisory}");
        assert!(known.insert(advisory), "{advisory} is listed twice");
    }
}

/// Whether a row begins with the identifier of a published vulnerability.
fn is_advisory(row: &str) -> bool {
    ["CVE-", "GHSA-", "RUSTSEC-"].iter().any(|kind| row.starts_with(&format!("| {kind}")))
}

/// The rows of a document's tables.
fn rows(document: &str) -> impl Iterator<Item = &str> {
    document.lines().filter(|line| line.starts_with("| "))
}

/// The tests that a row names: what shows it is in its last column. Paths are not names.
fn tests_of(row: &str) -> Vec<&str> {
    let shown_by = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
    let words = shown_by.split('`').skip(1).step_by(2);
    words.filter(|word| word.contains('_') && !word.contains(['/', '.', ' '])).collect()
}

/// The name of the function that this code, which follows an attribute, begins with, perhaps after other attributes.
fn first_function(code: &str) -> Option<&str> {
    let item = code.lines().map(str::trim).find(|line| !line.starts_with("#["))?;
    item.strip_prefix("fn ")?.split('(').next()
}

fn read_rust(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_rust(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
