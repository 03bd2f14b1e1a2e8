//! `latchkey completions`: scripts that complete commands and flags in a shell.

use clap::{CommandFactory, ValueEnum};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};
use serde::Serialize;

use super::{Cli, Failure, output::Form};

/// The shells of Unix systems; each more costs some 10 KB.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Fish,
    Zsh,
}

pub(super) fn print(shell: Shell, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Script {
        script: String,
    }
    let (mut command, mut script) = (Cli::command(), Vec::new());
    match shell {
        Shell::Bash => generate(Bash, &mut command, "latchkey", &mut script),
        Shell::Fish => generate(Fish, &mut command, "latchkey", &mut script),
        Shell::Zsh => generate(Zsh, &mut command, "latchkey", &mut script),
    }
    let script = String::from_utf8(script)?;
    form.print(&Script { script }, |Script { script }| say!("{script}"))
}
