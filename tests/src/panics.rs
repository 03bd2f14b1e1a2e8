//! An application around the server's library with a bug: a handler that panics.

use std::process::ExitCode;

use latchkey::api::Routes;

fn main() -> ExitCode {
    latchkey::cli::main(Routes::default().get("/api/bug", |_, _| panic!("the bug of the application")))
}
