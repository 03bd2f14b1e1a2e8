//! The command line: what can be typed, and which part of the program answers it.

#[macro_use]
mod output;

mod audit;
mod backup;
mod check;
mod clock;
mod completions;
mod key;
mod log;
mod perform;
mod progress;
mod prompt;
mod serve;
mod session;
mod stats;
mod token;
mod user;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::administration::Answer;
use crate::api::Routes;
use crate::settings::{Given, SETTINGS};
use output::Form;
use token::TokenCommand;

/// Exit codes, so that scripts need not read messages. Clap ends with 2 on wrong usage.
mod exit {
    /// Something was refused or failed, and the message says what.
    pub(super) const FAILED: u8 = 1;
    /// A running server has other settings in force.
    pub(super) const OTHER_SETTINGS: u8 = 3;
    /// No server runs.
    pub(super) const NO_SERVER: u8 = 4;
    /// The storage failed while serving (`EX_IOERR` of sysexits.h): start again, and look at the disk.
    pub(super) const STORE_FAILED: u8 = 74;
}

#[derive(Parser)]
#[command(name = "latchkey", version, about = "A small authentication server in one binary")]
#[command(
    after_help = "Without a command, latchkey serves. Each setting is also a variable, LATCHKEY_NAME, and may \
    stand in a file .env in the working directory. No secret is a setting, and none is taken as an argument."
)]
struct Cli {
    #[command(flatten)]
    settings: SettingFlags,
    /// Print one JSON value; with serve, log lines of JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Add, list and change users, also while the server runs
    #[command(subcommand)]
    User(user::UserCommand),
    /// List and end sessions, also while the server runs
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// List, add, rotate, retire and export the master keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Look into a token from standard input, or verify it, without a server
    #[command(subcommand)]
    Token(TokenCommand),
    /// Read the audit log, and verify that nobody tampered with it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Accept a system clock that is behind the time the store has seen
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// Write a copy of the store to a new file, also while the server runs
    Backup {
        /// The file to make
        file: PathBuf,
    },
    /// Put a backup in the place of the store, which is kept, also while the server runs
    ///
    /// The backup is verified whole before anything changes. All sessions end, and the key file stays as it is; it has to
    /// be there, for it is not part of a backup.
    Restore {
        /// The backup
        file: PathBuf,
        /// Keep the sessions of the backup, of which some have ended since
        #[arg(long)]
        keep_sessions: bool,
        /// Make a new key file, when that of the backup is lost
        #[arg(long, conflicts_with = "keep_sessions")]
        new_key: bool,
    },
    /// Make the store's file as small as it can be, also while the server runs
    ///
    /// A packed copy takes its place, so there has to be room for one. Sign-ins and refreshes wait meanwhile: two to
    /// three seconds for a million sessions.
    Compact,
    /// Count users and sessions, and show the last day of a running server
    Stats,
    /// Print a script that completes commands and flags in a shell
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: completions::Shell,
    },
    /// Read the settings, verify key file and store, report, change nothing
    ///
    /// Exits with 0 also when it has something to advise, with 1 when the server could not start.
    Check {
        /// Also ask the running server which settings it has in force, and compare: 3 if they are others, 4 if none runs
        #[arg(long)]
        live: bool,
    },
}

/// A flag for each line of the table of settings.
struct SettingFlags(Vec<(&'static str, String)>);

impl Args for SettingFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(SETTINGS.iter().map(|setting| {
            Arg::new(setting.name)
                .long(setting.flag())
                .value_name(setting.flag().rsplit('-').next().unwrap_or_default().to_ascii_uppercase())
                .help(format!("{}: {} [default: {}]", setting.help, setting.range, setting.default))
                .help_heading("Settings")
                .global(true)
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name| matches.get_one::<String>(name).map(|value| (name, value.clone()));
        Ok(Self(SETTINGS.iter().filter_map(|setting| given(setting.name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Why a command failed, as one message for the person who typed it.
struct Failure {
    message: String,
    code: u8,
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), code: exit::FAILED }
    }
}

/// Runs the command line of this process to its end; `serve` answers at `routes` too.
pub fn main(routes: Routes) -> ExitCode {
    let cli = Cli::parse();
    log::start(cli.form());
    match run(cli, routes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("latchkey: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

impl Cli {
    fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

/// The failure of an answer that does not belong to the command it was given for.
fn unexpected(_: Answer) -> Failure {
    "the server answered something else; is it of the same version?".into()
}

fn run(cli: Cli, routes: Routes) -> Result<(), Failure> {
    let form = cli.form();
    let given = || Given::gather(cli.settings.0.clone(), std::env::vars_os(), Path::new(".env"));
    // Completions and a look into a token work with wrong settings too: none has a say in them.
    let both = || {
        let given = given()?;
        let settings = given.resolve()?;
        log::set_level(settings.log_level);
        Ok::<_, Failure>((given, settings))
    };
    let settings = || both().map(|(_, settings)| settings);
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let (given, settings) = both()?;
            serve::serve(&given, &settings, routes, form)
        }
        Command::User(command) => user::run(&settings()?, command, form),
        Command::Session(command) => session::run(&settings()?, command, form),
        Command::Key(command) => key::run(&settings()?, command, form),
        Command::Token(TokenCommand::Inspect) => token::inspect(form),
        Command::Token(TokenCommand::Verify) => token::verify(&settings()?, form),
        Command::Audit(command) => audit::run(&settings()?, command, form),
        Command::Clock(command) => clock::run(&settings()?, command, form),
        Command::Backup { file } => backup::backup(&settings()?, &file, form),
        Command::Restore { file, keep_sessions, new_key } => {
            let how = backup::RestoreFlags { keep_sessions, new_key };
            backup::restore(&settings()?, &file, how, form)
        }
        Command::Compact => backup::compact(&settings()?, form),
        Command::Stats => stats::print(&settings()?, form),
        Command::Completions { shell } => completions::print(shell, form),
        Command::Check { live } => {
            let (given, settings) = both()?;
            check::check(&given, &settings, live, form)
        }
    }
}

/// How the person started this program, to print commands that work when typed as they stand.
fn program_name() -> String {
    std::env::args().next().unwrap_or_else(|| "latchkey".to_owned())
}

/// A time for a table, in the form of RFC 3339.
fn utc_time(unix_secs: u64) -> String {
    crate::clock::format_unix_secs(unix_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_may_begin_with_a_hyphen() {
        let cli = Cli::try_parse_from(["latchkey", "session", "revoke", "-sAAAAAAAAAAAAAAAAAAAA"]);
        let command = cli.map(|cli| cli.command).ok().flatten();
        assert!(matches!(
            command,
            Some(Command::Session(session::SessionCommand::Revoke { handle })) if handle.starts_with("-s")
        ));
    }
}
