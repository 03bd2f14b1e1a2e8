//! `latchkey session`: who is signed in, and ending that.

use clap::Subcommand;

use super::{Failure, perform::perform, utc_time};
use crate::administration::{Answer, Command, SessionRow};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// List living sessions
    List {
        /// Of this user only
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// End a session
    Revoke {
        /// Its handle, as in the list
        // One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        handle: String,
    },
    /// End every session of a user
    RevokeAll {
        /// Whose
        #[arg(long, value_name = "NAME")]
        user: String,
    },
}

pub(super) fn run(settings: &Settings, command: SessionCommand) -> Result<(), Failure> {
    match command {
        SessionCommand::List { user, json } => {
            let Answer::Sessions(sessions) = perform(settings, Command::ListSessions { user })? else {
                return Err("the server answered something else than a list of sessions".into());
            };
            if json { say!("{}", serde_json::to_string(&sessions)?) } else { print_table(&sessions) }
        }
        SessionCommand::Revoke { handle } => {
            perform(settings, Command::RevokeSession { session: handle })?;
            say!("ended the session");
        }
        SessionCommand::RevokeAll { user } => {
            let done = format!("ended all sessions of {user}");
            perform(settings, Command::RevokeSessions { user })?;
            say!("{done}");
        }
    }
    Ok(())
}

fn print_table(sessions: &[SessionRow]) {
    let width = sessions.iter().map(|session| session.user.chars().count()).max().unwrap_or_default().max(4);
    say!("{:22}  {:width$}  {:28}  {:20}  ADDRESS", "SESSION", "USER", "WITH", "LAST REFRESH");
    for SessionRow { session, user, label, address, last_refresh, .. } in sessions {
        say!("{session:22}  {user:width$}  {label:28}  {:20}  {address}", utc_time(*last_refresh));
    }
}
