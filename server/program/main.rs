//! The `latchkey` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    latchkey::cli::main(latchkey::api::Routes::default())
}
