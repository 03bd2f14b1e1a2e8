//! Where the password comes from: the terminal or standard input, never an argument, which every process
//! could read.

use std::io::{self, BufRead, Read};

use zeroize::Zeroizing;

use super::trouble::Trouble;

/// The server takes 256 bytes at the most; what is longer than this is not a password but a mistaken file.
const LINE_LEN_MAX: usize = 1024;

/// Asks on the terminal, without echo.
pub(super) fn from_terminal(user: &str, server: &str) -> Result<Zeroizing<String>, Trouble> {
    rpassword::prompt_password(format!("Password of {user} at {server}: "))
        .map(Zeroizing::new)
        .map_err(|error| Trouble::new(format!("cannot ask for the password ({error}): use --password-stdin")))
}

/// The first line of standard input, without its end.
pub(super) fn from_stdin() -> Result<Zeroizing<String>, Trouble> {
    // Room for all of it from the start, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(String::with_capacity(LINE_LEN_MAX + 1));
    // No further than the end of the line: whoever types, or keeps the pipe open, has said all there is to say.
    let read = io::stdin().lock().take(LINE_LEN_MAX as u64 + 1).read_line(&mut line);
    match read {
        Err(error) => Err(Trouble::new(format!("cannot read the password from standard input: {error}"))),
        Ok(0) => Err(Trouble::new("no password on standard input".into())),
        Ok(len) if len > LINE_LEN_MAX => {
            Err(Trouble::new("what is on standard input is no password: too long".into()))
        }
        Ok(_) => {
            while line.ends_with(['\n', '\r']) {
                line.pop();
            }
            Ok(line)
        }
    }
}
