//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Below the options of a command stand those of all commands.
const LAST: usize = 100;

const AFTER_HELP: &str = "\
The access token stays in memory. The refresh token is kept in the state file, which only its owner can read, so each \
run goes on in the same session; several runs may share one file. Environment variables named LATCHKEY_* are the \
server's and are not read.

Exit status: 0 done, 1 an error or no network (the session is kept), 2 wrong usage, 3 not signed in.";

/// Sign in to a Latchkey server and send requests that stay signed in
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Print each request and each answer as a line on standard error, without secrets
    #[arg(long, global = true, display_order = LAST)]
    pub(super) trace: bool,

    /// Where the session is kept [default: latchkey-client/session.json in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, global = true, display_order = LAST, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Sign in and keep the session; asks for the password
    Login(Login),
    /// Print the answer to a GET request
    Get(Get),
    /// End the session at the server and forget it
    Logout(Logout),
    /// Print who is signed in, and where, without asking the server
    Status,
}

#[derive(Args)]
pub(super) struct Login {
    /// The server, as in http://127.0.0.1:8080
    #[arg(value_name = "URL")]
    pub(super) server: String,

    /// The name to sign in with
    #[arg(long, value_name = "NAME")]
    pub(super) user: String,

    /// Read the password from the first line of standard input
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Args)]
pub(super) struct Get {
    /// A path at the server that was signed in to, or a full address of it
    #[arg(value_name = "URL")]
    pub(super) target: String,

    /// Ask again every so many seconds, going on when the network is away
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) every: Option<u64>,

    /// Stop after so many times [default: never]
    #[arg(long, value_name = "N", requires = "every", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) repeat: Option<u64>,
}

#[derive(Args)]
pub(super) struct Logout {
    /// Forget the session here without telling the server, where it lives on until it expires
    #[arg(long)]
    pub(super) local: bool,
}
