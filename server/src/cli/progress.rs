//! A progress bar on standard error, for people: without a terminal there is none.

use std::io::{self, IsTerminal, Write};

const WIDTH: u64 = 40;

/// Draws how far work has come: so many of so many.
pub(super) fn show(done: u64, total: u64) {
    let mut terminal = io::stderr().lock();
    if !terminal.is_terminal() || total == 0 {
        return;
    }
    let filled = (done * WIDTH / total) as usize;
    let bar = format!("{}{}", "#".repeat(filled), " ".repeat(WIDTH as usize - filled));
    let end = if done == total { "\n" } else { "" };
    // A terminal that has gone away is no reason to stop the work.
    let _ = write!(terminal, "\r[{bar}] {:3} %{end}", done * 100 / total);
}
