//! A progress bar on standard error, for people: without a terminal there is none.

use std::io::{self, IsTerminal, Write};

use crate::store::Interrupted;

const WIDTH: u64 = 40;

/// The bar of one piece of work; dropping it leaves the cursor on a line of its own, however the work ended.
#[derive(Default)]
pub(super) struct Bar {
    is_under_way: bool,
}

impl Bar {
    /// Draws how far work has come: so many of so many.
    pub(super) fn show(&mut self, done: u64, total: u64) -> Result<(), Interrupted> {
        let mut terminal = io::stderr().lock();
        if !terminal.is_terminal() || total == 0 {
            return Ok(());
        }
        self.is_under_way = true;
        let filled = (done * WIDTH / total) as usize;
        let bar = format!("{}{}", "#".repeat(filled), " ".repeat(WIDTH as usize - filled));
        // A terminal that has gone away is no reason to stop the work.
        let _ = write!(terminal, "\r[{bar}] {:3} %", done * 100 / total);
        Ok(())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.is_under_way {
            let _ = writeln!(io::stderr().lock());
        }
    }
}
