//! `latchkey clock`: going back in time, which the server never does by itself.

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, output::Form, perform::perform, prompt, unexpected};
use crate::administration::{Answer, Command};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(super) enum ClockCommand {
    /// Take the system clock for right and end all sessions
    Accept {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn run(settings: &Settings, command: ClockCommand, form: Form) -> Result<(), Failure> {
    let ClockCommand::Accept { yes } = command;
    prompt::confirm("Lower the stored time to the system clock and end every session?", yes)?;
    match perform(settings, Command::AcceptClock)? {
        Answer::ClockLowered(lowered_by_secs) => form.print(&Lowered { lowered_by_secs }, |lowered| {
            say!("went back {} s and ended every session", lowered.lowered_by_secs);
        }),
        other => Err(unexpected(other)),
    }
}

/// By how much the time went back.
#[derive(Serialize)]
struct Lowered {
    lowered_by_secs: u64,
}
