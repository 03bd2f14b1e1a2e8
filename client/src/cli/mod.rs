//! The command line of `latchkey-client`: what can be typed, and which part answers it.

mod arguments;
mod commands;
mod password;
mod state;
mod trouble;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process to its end.
pub fn main() -> ExitCode {
    match commands::run(arguments::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.report(),
    }
}
