//! Log lines on standard error: time, level, message, as text or as JSON. Nothing logged holds a secret.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use super::output::Form;
use crate::clock;

/// The variable that says how much is logged where `LATCHKEY_LOG_LEVEL` does not: the name that many programs share.
const LEVEL_VARIABLE: &str = "RUST_LOG";

/// Hexadecimal digits of a request's id, with which a message about a request begins.
const REQUEST_ID_LEN: usize = 16;

struct StandardError(Form);

/// Starts logging; lines of libraries are left out.
pub(super) fn start(form: Form) {
    let level = std::env::var(LEVEL_VARIABLE).ok().and_then(|level| level.parse().ok());
    log::set_max_level(level.unwrap_or(LevelFilter::Info));
    let logger: &'static StandardError = match form {
        Form::Text => &StandardError(Form::Text),
        Form::Json => &StandardError(Form::Json),
    };
    log::set_logger(logger).expect("logging starts once");
}

/// Logs as much as a setting says, if one does.
pub(super) fn set_level(level: Option<LevelFilter>) {
    if let Some(level) = level {
        log::set_max_level(level);
    }
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("latchkey")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (time, level) = (clock::timestamp(), record.level());
            let line = match self.0 {
                Form::Text => format!("{time} {level:5} {}\n", record.args()),
                Form::Json => json_line(&time.to_string(), level, &record.args().to_string()),
            };
            // With nobody left to read the log there is nobody to tell.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// A line as JSON, the id of the request, if it is about one, in a member of its own.
fn json_line(time: &str, level: Level, message: &str) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: &'a str,
        level: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a str>,
        message: &'a str,
    }
    let is_id = |id: &str| id.len() == REQUEST_ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (request_id, message) = match message.split_once(": ") {
        Some((id, rest)) if is_id(id) => (Some(id), rest),
        _ => (None, message),
    };
    let line = Line { time, level: level.as_str(), request_id, message };
    serde_json::to_string(&line).expect("a struct of strings serialises") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_has_the_request_id_apart_and_breaks_out_of_nothing() {
        assert_eq!(
            json_line("T", Level::Info, "0123456789abcdef: user \"x\"\nsigned in"),
            "{\"time\":\"T\",\"level\":\"INFO\",\"request_id\":\"0123456789abcdef\",\
             \"message\":\"user \\\"x\\\"\\nsigned in\"}\n"
        );
        assert_eq!(
            json_line("T", Level::Warn, "stopping: now"),
            "{\"time\":\"T\",\"level\":\"WARN\",\"message\":\"stopping: now\"}\n"
        );
    }
}
