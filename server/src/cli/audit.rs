//! `latchkey audit`: reading the logs, following them, and verifying that nobody tampered with them.

use std::thread;
use std::time::Duration;

use clap::Subcommand;

use super::{Failure, output::Form, perform::perform, unexpected, utc_time};
use crate::administration::{Answer, AuditRow, Command, Verified};
use crate::audit::Log;
use crate::settings::Settings;

/// How often `--follow` looks for new entries.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Print the newest entries
    Tail {
        /// How many at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        lines: u64,
        /// Refused log-ins, which are kept apart so that they cannot push anything else out
        #[arg(long)]
        refusals: bool,
        /// Go on printing new entries as they come; with --json one object a line
        #[arg(long)]
        follow: bool,
    },
    /// Verify both logs, and say where one is broken
    Verify,
}

pub(super) fn run(settings: &Settings, command: AuditCommand, form: Form) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { lines, refusals, follow } => {
            let log = if refusals { Log::Refusals } else { Log::Main };
            let rows = read(settings, log, 0, lines)?;
            if form == Form::Json && !follow {
                return form.print(&rows, |_| {});
            }
            let mut next = print(&rows, form)?.unwrap_or_default();
            if !follow {
                return Ok(());
            }
            loop {
                thread::sleep(FOLLOW_EVERY);
                let rows = read(settings, log, next, u64::MAX)?;
                next = print(&rows, form)?.unwrap_or(next);
            }
        }
        AuditCommand::Verify => {
            let logs = match perform(settings, Command::VerifyAudit)? {
                Answer::AuditVerified(logs) => logs,
                other => return Err(unexpected(other)),
            };
            form.print(&logs, |logs| logs.iter().for_each(print_verified))?;
            match logs.iter().find_map(|log| log.broken_at) {
                Some(number) => Err(format!("entry {number} is not as it was written, or missing").into()),
                None => Ok(()),
            }
        }
    }
}

fn read(settings: &Settings, log: Log, from: u64, limit: u64) -> Result<Vec<AuditRow>, Failure> {
    match perform(settings, Command::ReadAudit { log, from, limit })? {
        Answer::Audit(rows) => Ok(rows),
        other => Err(unexpected(other)),
    }
}

/// Prints entries and returns the number after the last of them.
fn print(rows: &[AuditRow], form: Form) -> Result<Option<u64>, Failure> {
    for row in rows {
        let line = line(row)?;
        form.print(row, |_| say!("{line}"))?;
    }
    Ok(rows.last().map(|row| row.number + 1))
}

fn line(row: &AuditRow) -> Result<String, Failure> {
    let event = serde_json::to_value(row.event)?;
    let mut line = format!("{} {}", utc_time(row.time), event.as_str().unwrap_or_default());
    let fields = [
        ("user", row.name.as_ref().or(row.user.as_ref())),
        ("by", row.by_name.as_ref().or(row.by.as_ref())),
        ("session", row.session.as_ref()),
        ("from", row.address.as_ref()),
        ("last refreshed from", row.other_address.as_ref()),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            line += &format!(", {name} {value}");
        }
    }
    if row.count > 1 {
        line += &format!(", {} times within a minute", row.count);
    }
    Ok(line)
}

fn print_verified(verified: &Verified) {
    let name = match verified.log {
        Log::Main => "main log",
        Log::Refusals => "refusals",
    };
    let state = match verified.broken_at {
        Some(number) => format!("BROKEN at entry {number}"),
        None => "whole".to_owned(),
    };
    say!("{name:10} {state}, {} entries", verified.entries);
}
