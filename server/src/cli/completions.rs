//! `latchkey completions`: scripts that complete commands and flags in a shell.

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;

use super::{Cli, Failure, output::Form};

pub(super) fn print(shell: Shell, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Script {
        script: String,
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "latchkey", &mut script);
    let script = Script { script: String::from_utf8(script)? };
    form.print(&script, |Script { script }| say!("{}", script.trim_end()))
}
