//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Below the options of a command stand those of all commands.
const LAST: usize = 100;

/// Bytes of the name of an account.
const ACCOUNT_LEN_MAX: usize = 64;

const AFTER_HELP: &str = "\
The access token stays in memory. The refresh token is kept in NAME.json, which only its owner can read, in the folder \
latchkey-client of $XDG_STATE_HOME or ~/.local/state (of ~/Library/Application Support on macOS), so each run goes on in \
the same session; several runs may share one file. Environment variables named LATCHKEY_* are the server's and are not \
read.

Examples:
  latchkey-client login http://127.0.0.1:8080 --user alice
  latchkey-client get /api/me
  latchkey-client post /items --data '{\"name\": \"pump\"}'
  curl -H \"Authorization: Bearer $(latchkey-client token)\" http://127.0.0.1:8080/api/me

Exit status: 0 done, 1 refused or another error, 2 wrong usage, 3 not signed in, 4 offline or asked to wait; the session \
is kept in all cases but 3.";

/// A name that can be a file's.
fn account(name: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".@_-".contains(&byte);
    let is_name = (1..=ACCOUNT_LEN_MAX).contains(&name.len()) && name.bytes().all(plain);
    if is_name && !name.starts_with('.') {
        Ok(name.to_owned())
    } else {
        Err("1 to 64 letters, digits and .@_-, not beginning with a dot")
    }
}

/// Sign in to a Latchkey server and send requests that stay signed in
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Print each request and each answer as a line on standard error, without secrets
    #[arg(long, global = true, display_order = LAST)]
    pub(super) trace: bool,

    /// Print results and errors as JSON, one object a line
    #[arg(long, global = true, display_order = LAST)]
    pub(super) json: bool,

    /// Which of several sessions to use; letters, digits and `.@_-`
    #[arg(long, global = true, display_order = LAST, value_name = "NAME", value_parser = account)]
    #[arg(default_value = "session")]
    pub(super) account: String,

    /// Keep the session in this file instead of the folder for state
    #[arg(long, global = true, display_order = LAST, value_name = "FILE", conflicts_with = "account")]
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
    /// Post --data or standard input, and print the answer
    Post(Post),
    /// Print an access token that has not expired, for curl and the like
    Token,
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
pub(super) struct Post {
    /// A path at the server that was signed in to, or a full address of it
    #[arg(value_name = "URL")]
    pub(super) target: String,

    /// What to post; without it, standard input
    #[arg(long, value_name = "TEXT")]
    pub(super) data: Option<String>,

    /// What it is
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub(super) content_type: String,
}

#[derive(Args)]
pub(super) struct Logout {
    /// Forget the session here without telling the server, where it lives on until it expires
    #[arg(long)]
    pub(super) local: bool,
}
