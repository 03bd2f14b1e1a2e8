//! `latchkey stats`: how many there are of what, and the last day of a running server by the hour.

use super::perform::perform;
use super::{Failure, output::Form, unexpected, utc_time};
use crate::administration::{Answer, Command, Stats};
use crate::settings::Settings;

pub(super) fn print(settings: &Settings, form: Form) -> Result<(), Failure> {
    match perform(settings, Command::Stats)? {
        Answer::Stats(stats) => form.print(&stats, print_text),
        other => Err(unexpected(other)),
    }
}

fn print_text(stats: &Stats) {
    say!("users            {}", stats.users);
    say!("session records  {}", stats.sessions);
    say!("store            {} KiB", stats.store_bytes.div_ceil(1024));
    let Some(since) = stats.since else {
        say!("no server runs; it would show its last day here");
        return;
    };
    say!("\nThe last day, counted since {}:", utc_time(since));
    say!("{:20}  {:>7}  {:>9}  {:>7}  {:>6}", "HOUR", "LOG-INS", "REFRESHES", "REFUSED", "REUSED");
    for hour in stats.hours.iter().filter(|hour| hour.start + 3600 > since) {
        let (signed_in, refreshed, refused, reused) =
            (hour.signed_in, hour.refreshed, hour.refused, hour.reused);
        say!("{:20}  {signed_in:7}  {refreshed:9}  {refused:7}  {reused:6}", utc_time(hour.start));
    }
}
