//! `latchkey clock`: going back in time, which the server never does by itself.

use clap::Subcommand;

use super::{Failure, perform::perform, prompt};
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

pub(super) fn run(settings: &Settings, command: ClockCommand) -> Result<(), Failure> {
    let ClockCommand::Accept { yes } = command;
    prompt::confirm("Lower the stored time to the system clock and end every session?", yes)?;
    let Answer::ClockLowered(secs) = perform(settings, Command::AcceptClock)? else {
        return Err("the server answered something else than a time".into());
    };
    say!("went back {secs} s and ended every session");
    Ok(())
}
