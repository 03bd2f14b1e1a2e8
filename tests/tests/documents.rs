//! The documents tell the truth: settings, commands and limits stand in them as they stand in the code.

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
