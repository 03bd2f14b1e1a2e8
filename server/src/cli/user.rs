//! `latchkey user`: the same commands whether a server has the store open or not.

use clap::Subcommand;

use super::{Failure, perform, prompt};
use crate::administration::{Answer, Command, UserRow};
use crate::settings::Settings;
use crate::user::{Name, Role};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; asks for the password, twice
    Add {
        /// The name the user signs in with
        name: String,
        /// What the user may do: user or admin
        #[arg(long, default_value = "user", value_parser = role)]
        role: Role,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Give a user a new password and end all sessions of the user
    Passwd {
        /// Whose password
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
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
    /// Delete a user and all sessions of the user
    Delete {
        /// Whom
        name: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "user" => Ok(Role::User),
        "admin" => Ok(Role::Admin),
        _ => Err("the roles are user and admin".to_owned()),
    }
}

pub(super) fn run(settings: &Settings, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, role, password_stdin } => {
            // Before anybody types a password.
            name.parse::<Name>()?;
            let password = prompt::new_password(password_stdin)?;
            let done = format!("added {role} {name}");
            perform::perform(settings, Command::AddUser { name, role, password })?;
            say!("{done}");
        }
        UserCommand::List { json } => {
            let Answer::Users(users) = perform::perform(settings, Command::ListUsers)? else {
                return Err("the server answered something else than a list of users".into());
            };
            if json { say!("{}", serde_json::to_string(&users)?) } else { print_table(&users) }
        }
        UserCommand::Passwd { name, password_stdin } => {
            name.parse::<Name>()?;
            let password = prompt::new_password(password_stdin)?;
            let done = format!("changed the password of {name} and ended all sessions");
            perform::perform(settings, Command::SetPassword { name, password })?;
            say!("{done}");
        }
        UserCommand::Disable { name } => {
            let done = format!("disabled {name} and ended all sessions");
            perform::perform(settings, Command::SetDisabled { name, disabled: true })?;
            say!("{done}");
        }
        UserCommand::Enable { name } => {
            let done = format!("enabled {name}");
            perform::perform(settings, Command::SetDisabled { name, disabled: false })?;
            say!("{done}");
        }
        UserCommand::Delete { name, yes } => {
            prompt::confirm(&format!("Delete {name} and end all sessions?"), yes)?;
            let done = format!("deleted {name}");
            perform::perform(settings, Command::DeleteUser { name })?;
            say!("{done}");
        }
    }
    Ok(())
}

fn print_table(users: &[UserRow]) {
    let width = users.iter().map(|user| user.name.chars().count()).max().unwrap_or_default().max(4);
    say!("{:width$}  {:5}  {:8}  {:>8}  {:16}", "NAME", "ROLE", "STATE", "SESSIONS", "ID");
    for user in users {
        let state = if user.disabled { "disabled" } else { "enabled" };
        let (name, role) = (&user.name, user.role.as_str());
        say!("{name:width$}  {role:5}  {state:8}  {:8}  {:16}", user.sessions, user.id);
    }
}
