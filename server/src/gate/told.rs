//! What the log is told of refusals at the gate: each with the address, but no more than some lines a second, so that
//! nobody fills the disk with them.

use std::net::IpAddr;

use crate::clock::Uptime;
use crate::problem::Code;

/// Lines a second.
const LINES_MAX: u64 = 10;

const SECOND_MS: u64 = 1000;

/// Refusals within the second that began last.
#[derive(Debug, Default)]
pub(super) struct Told {
    since: Uptime,
    refusals: u64,
}

impl Told {
    /// Takes in one more refusal; whether it has a line of its own, and how many had none within the second that has just
    /// ended.
    fn one_more(&mut self, now: Uptime) -> (bool, u64) {
        let mut without_line = 0;
        if self.since.plus_millis(SECOND_MS) <= now {
            without_line = self.refusals.saturating_sub(LINES_MAX);
            *self = Self { since: now, refusals: 0 };
        }
        self.refusals += 1;
        (self.refusals <= LINES_MAX, without_line)
    }

    /// Tells the log of a refusal.
    pub(super) fn tell(&mut self, id: &str, code: Code, address: IpAddr, now: Uptime) {
        let code = code.as_str();
        match self.one_more(now) {
            (true, 0) => log::info!("{id}: refused at the gate: {code}, from {address}"),
            (true, more) => {
                log::info!("{more} more were refused at the gate within a second");
                log::info!("{id}: refused at the gate: {code}, from {address}");
            }
            (false, _) => log::debug!("{id}: refused at the gate: {code}, from {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_second_are_written_and_the_rest_is_counted() {
        let mut told = Told::default();
        let at = |millis| Uptime::default().plus_millis(millis);
        let lines = (0..25).filter(|_| told.one_more(at(5_000)).0).count();
        assert_eq!(lines as u64, LINES_MAX);
        assert_eq!(told.one_more(at(5_999)), (false, 0));
        assert_eq!(told.one_more(at(6_000)), (true, 16));
        assert_eq!(told.one_more(at(7_000)), (true, 0));
    }
}
