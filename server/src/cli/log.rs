//! Log lines on standard error: time, level, message. Nothing logged holds a secret.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

use crate::clock;

/// The variable that chooses how much is logged: `error`, `warn`, `info` (the default), `debug`, `trace` or `off`.
///
/// It has no `LATCHKEY_` prefix: it is the name the field has agreed on, and no setting of the server.
const LEVEL_VARIABLE: &str = "RUST_LOG";

struct StandardError;

static STANDARD_ERROR: StandardError = StandardError;

/// Starts logging; lines of libraries are left out.
pub(super) fn start() {
    let level = std::env::var(LEVEL_VARIABLE).ok().and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(LevelFilter::Info));
    log::set_logger(&STANDARD_ERROR).expect("logging starts once");
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("latchkey")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {:5} {}\n", clock::timestamp(), record.level(), record.args());
            // With nobody left to read the log there is nobody to tell.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}
