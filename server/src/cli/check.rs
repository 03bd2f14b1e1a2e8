//! `latchkey check`: settings in force, key file and store, reported and left as they are.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, output::Form, unexpected};
use crate::administration::{Answer, Command};
use crate::control;
use crate::folder;
use crate::keys::Keys;
use crate::settings::{Given, Settings};
use crate::store::Store;

#[derive(Serialize)]
struct Report<'a> {
    settings: Vec<Line<'a>>,
    store: StoreState,
    signing_key: Option<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    value: &'a str,
    source: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
enum StoreState {
    /// There is none yet.
    None { path: PathBuf },
    /// Verified.
    Ok { users: u64, sessions: u64 },
    /// A running server has it open.
    InUse,
}

/// Refuses a key file that is not the one a running server has read: the next start would use it.
fn check_keys_in_use(settings: &Settings, keys: &Keys) -> Result<(), Failure> {
    match control::ask(&settings.data, &Command::FingerprintKeys, &mut |_, _| Ok(())) {
        Ok(Ok(Answer::Fingerprints(in_use))) if in_use != keys.fingerprints() => Err(format!(
            "{} holds other keys than those in use by the running server; put the right key file back",
            settings.key_file.display()
        )
        .into()),
        Ok(Ok(Answer::Fingerprints(_))) => Ok(()),
        Ok(Ok(other)) => Err(unexpected(other)),
        Ok(Err(refusal)) => Err(refusal.into()),
        // Another command has the store open, or a server that is just starting or stopping.
        Err(error) if control::is_nobody_there(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn check(given: &Given, settings: &Settings, form: Form) -> Result<(), Failure> {
    let lines = given.report().map(|(setting, value, source)| Line { name: setting.name, value, source });
    let mut report = Report {
        settings: lines.collect(),
        store: StoreState::None { path: folder::store_path(settings) },
        signing_key: None,
    };
    if form == Form::Text {
        // Before what may fail: whoever looks for a wrong setting wants to see them all.
        for Line { name, value, source } in &report.settings {
            say!("{name:36} {value}  ({source})");
        }
    }
    if folder::exists(settings) {
        folder::check_privacy(settings)?;
        let used_with = match Store::inspect(&folder::store_path(settings)) {
            Ok(contents) => {
                report.store = StoreState::Ok { users: contents.users, sessions: contents.sessions };
                contents.key_fingerprints
            }
            Err(error) if error.is_in_use() => {
                report.store = StoreState::InUse;
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let keys = folder::read_keys(settings, &used_with)?;
        if matches!(report.store, StoreState::InUse) {
            check_keys_in_use(settings, &keys)?;
        }
        report.signing_key = Some(keys.signing_kid());
    }
    form.print(&report, |report| {
        match &report.store {
            StoreState::None { path } => say!("store      none yet at {}; serve makes it", path.display()),
            StoreState::Ok { users, sessions } => {
                say!("store      ok, {users} users, {sessions} session records");
            }
            StoreState::InUse => {
                say!("store      in use by a running server, which verified it when it started");
            }
        }
        if let Some(kid) = report.signing_key {
            say!("key file   ok, key {kid} signs");
        }
    })
}
