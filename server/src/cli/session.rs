//! `latchkey session`: who is signed in, and ending that.

use clap::Subcommand;
use serde::Serialize;

use super::output::{Form, Pages};
use super::perform::{perform, perform_each};
use super::{Failure, unexpected, utc_time};
use crate::administration::{Answer, Command, SessionRow};
use crate::settings::Settings;
use crate::user::visible;

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
        SessionCommand::List { user } => list(settings, user.as_ref(), form),
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

fn list(settings: &Settings, user: Option<&String>, form: Form) -> Result<(), Failure> {
    let after = |after| Command::ListSessions { user: user.cloned(), after };
    let mut width = 0;
    let mut in_text = |rows: &[SessionRow]| print_table(rows, &mut width);
    let mut pages = Pages::new(form, &mut in_text);
    perform_each(settings, after(None), |answer| match answer {
        Answer::Sessions { rows, next } => {
            pages.add(&rows)?;
            Ok(next.map(|last| after(Some(last))))
        }
        other => Err(unexpected(other)),
    })?;
    pages.end();
    Ok(())
}

/// A session that was ended.
#[derive(Serialize)]
struct Ended {
    ended: String,
}

/// Prints a page of the table; `width` is that of the widest name so far, 0 before the first page.
fn print_table(sessions: &[SessionRow], width: &mut usize) {
    let is_begun = *width > 0;
    let widest =
        sessions.iter().map(|session| visible(&session.user).chars().count()).max().unwrap_or_default();
    *width = widest.max(*width).max(4);
    let width = *width;
    if !is_begun {
        say!("{:22}  {:width$}  {:28}  {:20}  ADDRESS", "SESSION", "USER", "WITH", "LAST REFRESH");
    }
    for SessionRow { session, user, label, address, last_refresh, .. } in sessions {
        let user = visible(user);
        say!("{session:22}  {user:width$}  {label:28}  {:20}  {address}", utc_time(*last_refresh));
    }
}
