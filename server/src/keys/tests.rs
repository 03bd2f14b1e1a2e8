//! Key files that are read, changed and refused, and what their keys are good for.

use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn refusal(text: &str) -> String {
    let (_folder, path) = written(text, 0o600);
    Keys::read(&path).unwrap_err().to_string()
}

#[test]
fn a_created_key_file_is_private_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let created = Keys::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Keys::read(&path).unwrap().fingerprints(), created.fingerprints());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no unfinished file stays behind");
}

#[test]
fn what_lies_beside_the_key_file_neither_opens_it_to_others_nor_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prod.keys");
    let (planted, bystander) = (folder.path().join("prod.keys.new"), folder.path().join("prod.new"));
    for file in [&planted, &bystander] {
        fs::write(file, "mine").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    }
    Keys::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(bystander).unwrap(), "mine");
}

#[test]
fn a_key_file_is_never_overwritten() {
    let (_folder, path) = written("precious", 0o600);
    assert!(Keys::create(&path).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn the_last_line_signs_and_the_earlier_keys_still_verify() {
    let other = KEY.replace('A', "B");
    let (_folder, path) = written(&format!("{FIRST_LINE}\n# comment\n3 {KEY}\n\n9 {other}\n"), 0o600);
    let keys = Keys::read(&path).unwrap();
    assert_eq!(keys.signing_kid(), 9);
    assert_eq!(keys.access().iter().map(Key::kid).collect::<Vec<_>>(), [Some("9"), Some("3")]);
    assert!(keys.refresh(3).is_some() && keys.refresh(1).is_none());
    assert_ne!(keys.retry_key(3, "sixteen letters!"), keys.retry_key(9, "sixteen letters!"));
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let (_folder, path) = written(&format!("{FIRST_LINE}\n1 {KEY}\n"), 0o640);
    assert!(Keys::read(&path).unwrap_err().to_string().contains("chmod 600"));
}

#[test]
fn a_damaged_key_file_is_refused_with_the_line_that_is_wrong() {
    assert!(refusal("").contains("no key file"));
    assert!(refusal(&format!("{FIRST_LINE}\n# nothing\n")).contains("no key file"));
    assert!(refusal(&format!("1 {KEY}\n")).contains("no key file"));
    assert!(refusal(&format!("{FIRST_LINE}\n1 {KEY} standby\n")).contains("no key file"));
    let lines =
        ["KEY", "256 KEY", "1 KEYA", "1 AEY", "1 KEY ", "1 KEY x", "1 KEY -1", "1 KEY 5 6", "1 KEY Standby"];
    for line in lines.map(|line| line.replace("KEY", KEY)) {
        assert!(refusal(&format!("{FIRST_LINE}\n{line}\n")).contains("line 2"), "{line}");
    }
    assert!(refusal(&format!("{FIRST_LINE}\n1 {KEY}\n1 {KEY}\n")).contains("line 3"));
}

/// A ring over a new key file.
fn ring() -> (tempfile::TempDir, KeyRing) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let keys = Keys::create(&path).unwrap();
    (folder, KeyRing::new(path, keys))
}

fn rotate(ring: &KeyRing, now: UnixMillis) -> u8 {
    let (kid, mut pending) = ring.rotate(now).unwrap();
    pending.put_in_force().unwrap();
    kid
}

fn kids(keys: &Keys) -> Vec<u8> {
    keys.kids().collect()
}

#[test]
fn a_rotated_key_signs_and_the_one_before_lives_until_it_is_retired() {
    let (_folder, ring) = ring();
    let before = ring.current();
    assert_eq!(rotate(&ring, UnixMillis(5_001)), 2);
    assert_eq!(kids(&ring.current()), [1, 2]);
    assert_eq!(ring.current().fingerprints()[0], before.fingerprints()[0]);
    assert_eq!(Keys::read(ring.path()).unwrap().fingerprints(), ring.current().fingerprints());

    assert!(ring.retire(2).unwrap_err().to_string().contains("rotate first"));
    assert!(ring.retire(9).unwrap_err().to_string().contains("no such key"));
    ring.retire(1).unwrap().put_in_force().unwrap();
    assert_eq!(kids(&Keys::read(ring.path()).unwrap()), [2]);
    assert_eq!(rotate(&ring, UnixMillis(9_000)), 3, "an id is not used again at once");
    assert_eq!(fs::metadata(ring.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_key_that_was_added_is_known_and_signs_when_it_is_activated() {
    let (_folder, ring) = ring();
    let (kid, mut pending) = ring.add().unwrap();
    let keys = pending.put_in_force().unwrap();
    drop(pending);
    assert_eq!((kid, keys.signing_kid(), keys.is_standby(2)), (2, 1, true));
    assert!(keys.refresh(2).is_some(), "its tokens are good already");
    assert_eq!(keys.access().iter().map(Key::kid).collect::<Vec<_>>(), [Some("1"), Some("2")]);

    assert!(ring.activate(1, UnixMillis(0)).unwrap_err().to_string().contains("key add"));
    assert!(ring.activate(9, UnixMillis(0)).unwrap_err().to_string().contains("no such key"));
    ring.activate(2, UnixMillis(5_001)).unwrap().put_in_force().unwrap();
    for keys in [&*ring.current(), &Keys::read(ring.path()).unwrap()] {
        assert_eq!((keys.signing_kid(), keys.is_standby(2)), (2, false));
        assert_eq!(keys.signed_until(1), Some(UnixMillis(6_000)));
        assert_eq!(keys.access().iter().map(Key::kid).collect::<Vec<_>>(), [Some("2"), Some("1")]);
    }
    assert!(ring.activate(2, UnixMillis(0)).is_err(), "it signs already");
}

#[test]
fn a_rotation_leaves_keys_that_do_not_sign_yet_as_they_are() {
    let (_folder, ring) = ring();
    ring.add().unwrap().1.put_in_force().unwrap();
    assert_eq!(rotate(&ring, UnixMillis(5_000)), 3);
    assert_eq!((ring.current().signing_kid(), kids(&ring.current())), (3, vec![1, 3, 2]));
    ring.activate(2, UnixMillis(9_000)).unwrap().put_in_force().unwrap();
    let until = [1, 3, 2].map(|kid| ring.current().signed_until(kid));
    assert_eq!(until, [Some(UnixMillis(5_000)), Some(UnixMillis(9_000)), None]);
    ring.retire(3).unwrap().put_in_force().unwrap();
    assert_eq!(kids(&Keys::read(ring.path()).unwrap()), [1, 2]);
}

#[test]
fn a_change_that_is_not_put_in_force_leaves_nothing_behind() {
    let (folder, ring) = ring();
    let before = fs::read(ring.path()).unwrap();
    drop(ring.rotate(UnixMillis(0)).unwrap());
    assert_eq!(fs::read(ring.path()).unwrap(), before);
    assert_eq!(kids(&ring.current()), [1]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nobody_else_changes_the_keys_until_the_one_who_did_has_told_the_store() {
    let (_folder, ring) = ring();
    let (_, mut pending) = ring.rotate(UnixMillis(0)).unwrap();
    pending.put_in_force().unwrap();
    assert!(ring.changing.try_lock().is_err());
    drop(pending);
    assert!(ring.changing.try_lock().is_ok());
    assert_eq!(kids(&Keys::read(ring.path()).unwrap()), [1, 2]);
}

#[test]
fn a_key_file_that_was_exchanged_meanwhile_is_not_taken_over() {
    let (_folder, ring) = ring();
    fs::remove_file(ring.path()).unwrap();
    Keys::create(ring.path()).unwrap();
    let foreign = fs::read(ring.path()).unwrap();
    let refused = [
        ring.rotate(UnixMillis(0)).map(drop),
        ring.add().map(drop),
        ring.retire(1).map(drop),
        ring.activate(1, UnixMillis(0)).map(drop),
    ];
    for refused in refused {
        assert!(refused.unwrap_err().to_string().contains("other keys than those in use"));
    }
    assert_eq!(fs::read(ring.path()).unwrap(), foreign);
}

#[test]
fn a_key_file_behind_a_link_is_changed_where_it_lies() {
    let (folder, ring) = ring();
    let real = folder.path().join("real.keys");
    fs::rename(ring.path(), &real).unwrap();
    std::os::unix::fs::symlink("real.keys", ring.path()).unwrap();
    rotate(&ring, UnixMillis(0));
    assert!(fs::symlink_metadata(ring.path()).unwrap().is_symlink());
    assert_eq!(kids(&Keys::read(&real).unwrap()), [1, 2]);
}

#[test]
fn a_key_remembers_in_its_file_when_it_stopped_signing() {
    let (_folder, ring) = ring();
    assert_eq!(ring.current().signed_until(1), None, "it signs");
    rotate(&ring, UnixMillis(5_001));
    rotate(&ring, UnixMillis(9_000));
    for keys in [&*ring.current(), &Keys::read(ring.path()).unwrap()] {
        let until = [1, 2, 3, 4].map(|kid| keys.signed_until(kid));
        assert_eq!(until, [Some(UnixMillis(6_000)), Some(UnixMillis(9_000)), None, None]);
    }
}

#[test]
fn a_key_file_without_times_reads_and_keeps_its_keys() {
    let other = KEY.replace('A', "B");
    let (_folder, path) = written(&format!("{FIRST_LINE}\n1 {KEY}\n2 {other}\n"), 0o600);
    let ring = KeyRing::new(path.clone(), Keys::read(&path).unwrap());
    assert_eq!(ring.current().signed_until(1), None);
    rotate(&ring, UnixMillis(7_000));
    let keys = Keys::read(&path).unwrap();
    assert_eq!([1, 2].map(|kid| keys.signed_until(kid)), [None, Some(UnixMillis(7_000))]);
}

#[test]
fn refusals_and_debug_never_show_the_key() {
    let (_folder, path) = written(&format!("{FIRST_LINE}\n1 {KEY}\n"), 0o600);
    assert_eq!(format!("{:?}", Keys::read(&path).unwrap()), "[1]");
    assert!(!refusal(&format!("{FIRST_LINE}\n1 {KEY}=\n")).contains(&KEY[..8]));
}
