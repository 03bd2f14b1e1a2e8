//! Printing a line, and not minding when whoever reads has seen enough.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process;

/// Like `println!`, but a closed pipe ends the program instead of making it panic.
macro_rules! say {
    ($($argument:tt)*) => { $crate::cli::output::print_line(format_args!($($argument)*)) };
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
