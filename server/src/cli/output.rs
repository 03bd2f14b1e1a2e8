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

/// A JSON array that is printed a piece at a time, so that nobody has to hold all of it.
#[derive(Default)]
pub(super) struct JsonArray {
    is_begun: bool,
}

impl JsonArray {
    pub(super) fn add<T: Serialize>(&mut self, items: &[T]) -> Result<(), Failure> {
        for item in items {
            let before = if self.is_begun { ',' } else { '[' };
            print(format_args!("{before}{}", serde_json::to_string(item)?));
            self.is_begun = true;
        }
        Ok(())
    }

    pub(super) fn end(self) {
        if self.is_begun { say!("]") } else { say!("[]") }
    }
}

/// Prints rows that come in pages, for people as `in_text` does.
pub(super) struct Pages<'a, T> {
    form: Form,
    array: JsonArray,
    in_text: &'a mut dyn FnMut(&[T]),
}

impl<'a, T: Serialize> Pages<'a, T> {
    pub(super) fn new(form: Form, in_text: &'a mut dyn FnMut(&[T])) -> Self {
        Self { form, array: JsonArray::default(), in_text }
    }

    pub(super) fn add(&mut self, rows: &[T]) -> Result<(), Failure> {
        match self.form {
            Form::Text => (self.in_text)(rows),
            Form::Json => self.array.add(rows)?,
        }
        Ok(())
    }

    pub(super) fn end(self) {
        if self.form == Form::Json {
            self.array.end();
        }
    }
}

pub(super) fn print_line(line: fmt::Arguments<'_>) {
    print(format_args!("{line}\n"));
}

fn print(text: fmt::Arguments<'_>) {
    match io::stdout().lock().write_fmt(text) {
        Ok(()) => {}
        // `latchkey user list | head -1`: the command is done, and so are we.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            eprintln!("latchkey: cannot write to standard output: {error}");
            process::exit(1);
        }
    }
}
