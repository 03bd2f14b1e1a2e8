//! The tables, in Markdown, so that they can be pasted as they are.

use crate::candidates::{FLOOR, JSONWEBTOKEN, Job};
use crate::claims::{PAYLOAD_LEN, TOKEN_LEN};
use crate::instructions::Count;
use crate::rounds::Times;

pub(crate) fn print_times(times: &[Times]) {
    let has_sha = if has_sha_instructions() { "with" } else { "without" };
    println!(
        "HS256, a payload of {PAYLOAD_LEN} bytes, a token of {TOKEN_LEN} characters; a processor {has_sha} SHA instructions."
    );
    println!("Nanoseconds. Ratios are of minima: to the floor, and of jsonwebtoken (rust_crypto) to this.");
    for job in [Job::Verify, Job::Sign] {
        let rows = times.iter().filter(|row| row.job == job);
        let minimum_of = |name| rows.clone().find(|row| row.name == name).map_or(f64::NAN, |row| row.minimum);
        println!("\n| {:<28} | minimum | median | × floor | jsonwebtoken ÷ |", format!("{job:?}"));
        println!("|:-----------------------------|--------:|-------:|--------:|---------------:|");
        for Times { name, minimum, median, .. } in rows.clone() {
            let (floors, faster) = (minimum / minimum_of(FLOOR), minimum_of(JSONWEBTOKEN) / minimum);
            println!("| {name:<28} | {minimum:>7.0} | {median:>6.0} | {floors:>7.2} | {faster:>14.1} |");
        }
    }
}

pub(crate) fn print_instructions(counts: &[Count]) {
    println!("Instructions per job under callgrind, with SHA-256 in software.");
    for job in [Job::Verify, Job::Sign] {
        let rows = counts.iter().filter(|row| row.job == job);
        let count_of =
            |name| rows.clone().find(|row| row.name == name).map_or(f64::NAN, |row| row.instructions as f64);
        println!("\n| {:<28} | instructions | × floor | jsonwebtoken ÷ |", format!("{job:?}"));
        println!("|:-----------------------------|-------------:|--------:|---------------:|");
        for Count { name, instructions, .. } in rows.clone() {
            let floors = *instructions as f64 / count_of(FLOOR);
            let fewer = count_of(JSONWEBTOKEN) / *instructions as f64;
            println!("| {name:<28} | {instructions:>12} | {floors:>7.2} | {fewer:>14.1} |");
        }
    }
}

fn has_sha_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}
