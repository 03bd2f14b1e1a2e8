//! Asking the person at the terminal: passwords unseen and twice, or one line of standard input for scripts.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use zeroize::Zeroizing;

use super::Failure;
use crate::password::{PASSWORD_LEN_MAX, Password, Weakness};

/// A new password: from standard input when asked to, otherwise from the terminal, typed twice.
pub(super) fn new_password(from_stdin: bool) -> Result<Password, Failure> {
    if from_stdin {
        return first_line_of_stdin();
    }
    if !io::stdin().is_terminal() {
        return Err("there is no terminal to ask for a password; pipe it in and say --password-stdin".into());
    }
    let first = Password::new(rpassword::prompt_password("Password: ")?);
    let second = Password::new(rpassword::prompt_password("Once more: ")?);
    if first.as_bytes() == second.as_bytes() { Ok(first) } else { Err("the two passwords differ".into()) }
}

fn first_line_of_stdin() -> Result<Password, Failure> {
    // A few bytes more than a password and a line end can have: a longer one is then seen to be too long.
    let mut input = io::stdin().lock().take(PASSWORD_LEN_MAX as u64 + 3);
    let mut line = Zeroizing::new(Vec::new());
    input.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err("there is no password on standard input".into());
    }
    let password = line.strip_suffix(b"\n").unwrap_or(&line);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if password.len() > PASSWORD_LEN_MAX {
        return Err(Weakness::TooLong.to_string().into());
    }
    match std::str::from_utf8(password) {
        Ok(password) => Ok(Password::new(password.to_owned())),
        Err(_) => Err("the password on standard input is not UTF-8".into()),
    }
}

/// Whether the person says yes; without a terminal, only when `assumed` was said beforehand.
pub(super) fn confirm(question: &str, assumed: bool) -> Result<(), Failure> {
    if assumed {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err("there is no terminal to ask for confirmation; say --yes".into());
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err("nothing was changed".into()),
    }
}
