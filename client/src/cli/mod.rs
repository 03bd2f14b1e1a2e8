//! The command line of `latchkey-client`: what can be typed, and which part answers it.

mod arguments;
mod commands;
mod password;
mod show;
mod state;
mod trouble;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command line of this process to its end.
pub fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let show = if arguments.json { show::Show::Json } else { show::Show::Plain };
    match commands::run(arguments, show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.report(show),
    }
}
