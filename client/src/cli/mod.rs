//! The command line.

mod arguments;
mod commands;
mod password;
mod state;
mod trouble;

pub(crate) use self::arguments::Arguments;
pub(crate) use self::commands::run;
