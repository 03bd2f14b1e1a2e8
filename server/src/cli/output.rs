//! Printing answers, for people or as JSON, and not minding when whoever reads has seen enough.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process;

use serde::Serialize;

use super::Failure;

/// Like `println!`, but a closed pipe ends the program instead of making it panic.
macro_rules! say {
    ($($argument:tt)*) => { $crate::cli::output::print_line(format_args!($($argument)*)) };
}

/// How answers are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Lines and tables for people.
    Text,
    /// One JSON value.
    Json,
}

impl Form {
    /// Prints `answer` as JSON, or as `in_text` does.
    pub(super) fn print<T: Serialize + ?Sized>(
        self,
        answer: &T,
        in_text: impl FnOnce(&T),
    ) -> Result<(), Failure> {
        match self {
            Self::Text => in_text(answer),
            Self::Json => say!("{}", serde_json::to_string(answer)?),
        }
        Ok(())
    }
}

pub(super) fn print_line(line: fmt::Arguments<'_>) {
    match writeln!(io::stdout().lock(), "{line}") {
        Ok(()) => {}
        // `latchkey user list | head -1`: the command is done, and so are we.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            eprintln!("latchkey: cannot write to standard output: {error}");
            process::exit(1);
        }
    }
}
