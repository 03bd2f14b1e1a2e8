//! `latchkey check`: the settings, what they show, key file and store, reported and left as they are; and how the settings
//! of a running server differ.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, exit, output::Form, unexpected};
use crate::administration::{Answer, Command};
use crate::control;
use crate::findings::{Finding, Weight, findings};
use crate::folder;
use crate::keys::Keys;
use crate::settings::{Given, InForce, Settings};
use crate::store::Store;

#[derive(Serialize)]
struct Report<'a> {
    settings: Vec<Line<'a>>,
    findings: Vec<Finding>,
    store: StoreState,
    signing_key: Option<u8>,
    /// The running server, if it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
}

/// A server that runs.
#[derive(Serialize)]
struct Running {
    version: String,
    listening: String,
    differences: Vec<Difference>,
}

/// A setting that is another in a running server.
#[derive(Serialize)]
struct Difference {
    name: String,
    here: String,
    running: String,
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

pub(super) fn check(given: &Given, settings: &Settings, live: bool, form: Form) -> Result<(), Failure> {
    let lines = given.report().map(|(setting, value, source)| Line { name: setting.name, value, source });
    let mut report = Report {
        settings: lines.collect(),
        findings: findings(given, settings),
        store: StoreState::None { path: folder::store_path(settings) },
        signing_key: None,
        running: None,
    };
    if form == Form::Text {
        // Before what may fail: whoever looks for a wrong setting wants to see them all.
        for Line { name, value, source } in &report.settings {
            say!("{name:36} {value}  ({source})");
        }
        for Finding { weight, text } in &report.findings {
            say!("{:10} {text}", if *weight == Weight::Warning { "WARNING" } else { "note" });
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
    if live {
        report.running = Some(compare(given, ask(settings)?));
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
        if let Some(Running { version, listening, differences }) = &report.running {
            say!("running    latchkey {version} at {listening}, {} other settings", differences.len());
            for Difference { name, here, running } in differences {
                say!("{name:36} {running} there, {here} here");
            }
        }
    })?;
    match &report.running {
        Some(running) if !running.differences.is_empty() => Err(Failure {
            message: "the running server has other settings than those here; start it again to change them, or set here \
                      what it was started with"
                .to_owned(),
            code: exit::OTHER_SETTINGS,
        }),
        _ => Ok(()),
    }
}

/// The settings that the running server has in force.
fn ask(settings: &Settings) -> Result<InForce, Failure> {
    match control::ask(&settings.data, &Command::InForce, &mut |_, _| Ok(())) {
        Ok(Ok(Answer::InForce(in_force))) => Ok(in_force),
        Ok(Ok(other)) => Err(super::unexpected(other)),
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(error) if control::is_nobody_there(&error) => {
            let message = format!("no server runs over {}", settings.data.display());
            Err(Failure { message, code: exit::NO_SERVER })
        }
        Err(error) => Err(format!("the control socket does not answer: {error}").into()),
    }
}

fn compare(given: &Given, InForce { version, listening, settings, .. }: InForce) -> Running {
    let there =
        |name: &str| settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let differences = given.report().filter_map(|(setting, here, _)| {
        let running = there(setting.name).unwrap_or("not known");
        (running != here).then(|| Difference {
            name: setting.name.to_owned(),
            here: here.to_owned(),
            running: running.to_owned(),
        })
    });
    Running { version, differences: differences.collect(), listening }
}
