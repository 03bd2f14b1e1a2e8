//! `latchkey session`: who is signed in, and ending that.

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, output::Form, perform::perform, unexpected, utc_time};
use crate::administration::{Answer, Command, SessionRow};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// List living sessions
    List {
        /// Of this user only
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
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

pub(super) fn run(settings: &Settings, command: SessionCommand, form: Form) -> Result<(), Failure> {
    match command {
        SessionCommand::List { user } => match perform(settings, Command::ListSessions { user })? {
            Answer::Sessions(sessions) => form.print(&sessions, |sessions| print_table(sessions)),
            other => Err(unexpected(other)),
        },
        SessionCommand::Revoke { handle } => {
            let ended = Ended { ended: handle.clone() };
            perform(settings, Command::RevokeSession { session: handle })?;
            form.print(&ended, |_| say!("ended the session"))
        }
        SessionCommand::RevokeAll { user } => match perform(settings, Command::RevokeSessions { user })? {
            Answer::User(user) => form.print(&user, |user| say!("ended all sessions of {}", user.name)),
            other => Err(unexpected(other)),
        },
    }
}

/// A session that was ended.
#[derive(Serialize)]
struct Ended {
    ended: String,
}

fn print_table(sessions: &[SessionRow]) {
    let width = sessions.iter().map(|session| session.user.chars().count()).max().unwrap_or_default().max(4);
    say!("{:22}  {:width$}  {:28}  {:20}  ADDRESS", "SESSION", "USER", "WITH", "LAST REFRESH");
    for SessionRow { session, user, label, address, last_refresh, .. } in sessions {
        say!("{session:22}  {user:width$}  {label:28}  {:20}  {address}", utc_time(*last_refresh));
    }
}
