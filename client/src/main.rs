//! The `latchkey-client` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    latchkey_client::cli::main()
}
