//! `latchkey user`: the same commands whether a server has the store open or not.

use clap::Subcommand;
use serde::Serialize;

use super::output::{Form, Pages};
use super::perform::{perform, perform_each};
use super::{Failure, prompt, unexpected, utc_time};
use crate::administration::{Answer, Command, ResetCode, UserRow};
use crate::settings::Settings;
use crate::user::{Name, Role, visible};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; asks for the password, twice
    Add {
        /// The name the user signs in with
        name: String,
        /// What the user may do: user or admin
        #[arg(long, default_value = "user")]
        role: Role,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users
    List,
    /// Show a user
    Show {
        /// Whom
        name: String,
    },
    /// Give a user a new password and end all sessions of the user
    Passwd {
        /// Whose password
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Print a one-time code with which a user can choose a password, within a quarter of an hour
    Reset {
        /// Whom it is for
        name: String,
    },
    /// Keep a user from signing in and end all sessions of the user
    Disable {
        /// Whom
        name: String,
    },
    /// Let a disabled user sign in again
    Enable {
        /// Whom
        name: String,
    },
    /// Give a user another role and end all sessions of the user
    Role {
        /// Whose
        name: String,
        /// What the user may do: user or admin
        role: Role,
    },
    /// Delete a user and all sessions of the user
    Delete {
        /// Whom
        name: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn run(settings: &Settings, command: UserCommand, form: Form) -> Result<(), Failure> {
    let (command, done) = match command {
        UserCommand::List => return list(settings, form),
        UserCommand::Show { name } => return show(settings, name, form),
        UserCommand::Reset { name } => return reset(settings, name, form),
        UserCommand::Delete { name, yes } => return delete(settings, name, yes, form),
        UserCommand::Add { name, role, password_stdin } => {
            Name::chosen(&name)?;
            let password = new_password(&name, password_stdin)?;
            let done = format!("added {role} {name}");
            (Command::AddUser { name, role, password }, done)
        }
        UserCommand::Passwd { name, password_stdin } => {
            let password = new_password(&name, password_stdin)?;
            let done = format!("changed the password of {name} and ended all sessions");
            (Command::SetPassword { name, password }, done)
        }
        UserCommand::Disable { name } => {
            let done = format!("disabled {name} and ended all sessions");
            (Command::SetDisabled { name, disabled: true }, done)
        }
        UserCommand::Enable { name } => {
            let done = format!("enabled {name}");
            (Command::SetDisabled { name, disabled: false }, done)
        }
        UserCommand::Role { name, role } => {
            let done = format!("{name} has the role {role} now, and all sessions ended");
            (Command::SetRole { name, role }, done)
        }
    };
    match perform(settings, command)? {
        Answer::User(user) => form.print(&user, |_| say!("{done}")),
        other => Err(unexpected(other)),
    }
}

/// Asks for a password, but not for that of a user who cannot be.
fn new_password(name: &str, from_stdin: bool) -> Result<crate::password::Password, Failure> {
    name.parse::<Name>()?;
    prompt::new_password(from_stdin)
}

fn list(settings: &Settings, form: Form) -> Result<(), Failure> {
    let mut width = 0;
    let mut in_text = |rows: &[UserRow]| print_table(rows, &mut width);
    let mut pages = Pages::new(form, &mut in_text);
    perform_each(settings, Command::ListUsers { after: String::new() }, |answer| match answer {
        Answer::Users { rows, next } => {
            pages.add(&rows)?;
            Ok(next.map(|after| Command::ListUsers { after }))
        }
        other => Err(unexpected(other)),
    })?;
    pages.end();
    Ok(())
}

fn show(settings: &Settings, name: String, form: Form) -> Result<(), Failure> {
    match perform(settings, Command::ShowUser { name })? {
        Answer::User(user) => form.print(&user, |user| {
            say!("name      {}", visible(&user.name));
            say!("id        {}", user.id);
            say!("role      {}", user.role);
            say!("state     {}", state(user));
            say!("sessions  {}", user.sessions);
            say!("added     {}", utc_time(user.created));
        }),
        other => Err(unexpected(other)),
    }
}

fn reset(settings: &Settings, name: String, form: Form) -> Result<(), Failure> {
    let done = format!("Whoever has this code can choose a new password for {name}, once, until");
    match perform(settings, Command::IssueCode { name })? {
        Answer::Code(code) => form.print(&code, |ResetCode { code, expires }| {
            say!("{code}");
            eprintln!("{done} {}: on the page, behind /#reset={code}", utc_time(*expires));
        }),
        other => Err(unexpected(other)),
    }
}

fn delete(settings: &Settings, name: String, yes: bool, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Deleted {
        deleted: String,
    }
    prompt::confirm(&format!("Delete {name} and end all sessions?"), yes)?;
    let deleted = Deleted { deleted: name.clone() };
    perform(settings, Command::DeleteUser { name })?;
    form.print(&deleted, |Deleted { deleted }| say!("deleted {deleted}"))
}

fn state(user: &UserRow) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

/// Prints a page of the table; `width` is that of the widest name so far, 0 before the first page.
fn print_table(users: &[UserRow], width: &mut usize) {
    let is_begun = *width > 0;
    let widest = users.iter().map(|user| visible(&user.name).chars().count()).max().unwrap_or_default();
    *width = widest.max(*width).max(4);
    let width = *width;
    if !is_begun {
        say!("{:width$}  {:5}  {:8}  {:>8}  {:16}", "NAME", "ROLE", "STATE", "SESSIONS", "ID");
    }
    for user in users {
        let (name, role) = (visible(&user.name), user.role.as_str());
        say!("{name:width$}  {role:5}  {:8}  {:8}  {:16}", state(user), user.sessions, user.id);
    }
}
