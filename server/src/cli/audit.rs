//! `latchkey audit`: reading the logs, following them, and verifying that nobody tampered with them.

use std::thread;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::output::{Form, Pages};
use super::{Failure, perform::perform, prompt, unexpected, utc_time};
use crate::administration::{Answer, AuditRow, Command, PAGE_LEN, Verified};
use crate::audit::{Event, Log};
use crate::reconcile::Broken;
use crate::settings::Settings;
use crate::user::visible;

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
    /// Seal both logs as they stand, broken or not: what they hold until now is shown as not verified from then on
    Seal {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn run(settings: &Settings, command: AuditCommand, form: Form) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { lines, refusals, follow } => {
            let log = if refusals { Log::Refusals } else { Log::Main };
            tail(settings, log, lines, follow, form)
        }
        AuditCommand::Verify => verify(settings, form),
        AuditCommand::Seal { yes } => seal(settings, yes, form),
    }
}

/// Entries of a log, and where to go on.
struct Page {
    rows: Vec<AuditRow>,
    next: u64,
    era: [u8; 8],
}

fn read(settings: &Settings, log: Log, from: Option<u64>, limit: u64) -> Result<Page, Failure> {
    match perform(settings, Command::ReadAudit { log, from, limit })? {
        Answer::Audit { rows, next, era } => Ok(Page { rows, next, era }),
        other => Err(unexpected(other)),
    }
}

fn tail(settings: &Settings, log: Log, lines: u64, follow: bool, form: Form) -> Result<(), Failure> {
    let Page { next: end, mut era, .. } = read(settings, log, None, 0)?;
    let mut next = end.saturating_sub(lines);
    let mut in_text = |rows: &[AuditRow]| rows.iter().for_each(|row| say!("{}", line(row)));
    let mut pages = Pages::new(form, &mut in_text);
    while next < end {
        let page = read(settings, log, Some(next), end - next)?;
        if follow {
            print(&page.rows, form)?;
        } else {
            pages.add(&page.rows)?;
        }
        next = page.next;
    }
    if !follow {
        pages.end();
        return Ok(());
    }
    loop {
        thread::sleep(FOLLOW_EVERY);
        let mut page = read(settings, log, Some(next), PAGE_LEN as u64)?;
        if page.era != era {
            eprintln!("latchkey: a restore put another log in the place of this one");
            page = from_the_restore_on(settings, log)?;
            era = page.era;
        }
        print(&page.rows, form)?;
        next = page.next;
    }
}

/// The newest entries of a log that came with a restore: that one and what followed, or all of a page.
fn from_the_restore_on(settings: &Settings, log: Log) -> Result<Page, Failure> {
    let mut page = read(settings, log, None, PAGE_LEN as u64)?;
    let restore = page.rows.iter().rposition(|row| row.event == Event::Restored);
    page.rows.drain(..restore.unwrap_or_default());
    Ok(page)
}

/// Prints each entry by itself, as they come.
fn print(rows: &[AuditRow], form: Form) -> Result<(), Failure> {
    rows.iter().try_for_each(|row| form.print(row, |row| say!("{}", line(row))))
}

fn verify(settings: &Settings, form: Form) -> Result<(), Failure> {
    let logs = match perform(settings, Command::VerifyAudit)? {
        Answer::AuditVerified(logs) => logs,
        other => return Err(unexpected(other)),
    };
    form.print(&logs, |logs| logs.iter().for_each(print_verified))?;
    if let Some(doubt) = logs.iter().find_map(|log| log.doubt) {
        return Err(doubt.to_string().into());
    }
    match logs.iter().find_map(|log| log.broken_at) {
        Some(number) => Err(format!("entry {number} is not as it was written, or missing").into()),
        None => Ok(()),
    }
}

fn seal(settings: &Settings, yes: bool, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Sealed {
        broken: Option<Broken>,
    }
    prompt::confirm("Seal the logs as they stand, and go on behind them?", yes)?;
    match perform(settings, Command::SealAudit)? {
        Answer::AuditSealed(broken) => form.print(&Sealed { broken }, |sealed| {
            if let Some(broken) = sealed.broken {
                say!("until now: {broken}");
            }
            say!("sealed both logs as they stand; what they hold until now is shown as not verified");
        }),
        other => Err(unexpected(other)),
    }
}

fn line(row: &AuditRow) -> String {
    let event = serde_json::to_value(row.event).unwrap_or_default();
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
            line += &format!(", {name} {}", visible(value));
        }
    }
    if row.count > 1 {
        line += &format!(", {} times within a minute", row.count);
    }
    line
}

fn print_verified(verified: &Verified) {
    let name = match verified.log {
        Log::Main => "main log",
        Log::Refusals => "refusals",
    };
    let state = match (verified.broken_at, verified.doubt) {
        (Some(number), _) => format!("BROKEN at entry {number}"),
        (None, Some(_)) => "IN DOUBT".to_owned(),
        (None, None) => "whole".to_owned(),
    };
    let entries = verified.entries;
    match verified.unverified_before {
        Some(before) => {
            say!("{name:10} {state}, {entries} entries, those before {before} taken over unverified");
        }
        None => say!("{name:10} {state}, {entries} entries"),
    }
}
