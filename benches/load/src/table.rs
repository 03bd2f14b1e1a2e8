//! The table of the load, in Markdown, so that it can be pasted as it is.

use crate::rounds::Measured;

pub(crate) fn print_head(workload: &str) {
    println!("\n{workload}:\n");
    println!(
        "| clients | server   | requests/s | latchkey ÷ it | p50 ms | p99 ms | CPU µs a request | per CPU second | latchkey ÷ it | KiB written a request | refused |"
    );
    println!(
        "|--------:|:---------|-----------:|--------------:|-------:|-------:|-----------------:|---------------:|--------------:|----------------------:|--------:|"
    );
}

/// Prints a row for each server; the ratio is of all rounds, in parentheses of the worst and best one.
pub(crate) fn print(measured: &[Measured]) {
    let Some((ours, _)) = measured.split_first() else { return };
    for row in measured {
        let is_ours = row.name == ours.name;
        let per_cpu_second = |row: &Measured| 1e6 / row.processor_micros_per_request;
        let by_cpu = format!("{:.2}", per_cpu_second(ours) / per_cpu_second(row));
        println!(
            "| {:>7} | {:<8} | {:>10.0} | {:>13} | {:>6.2} | {:>6.2} | {:>16.1} | {:>14.0} | {:>13} | {:>21.1} | {:>7} |",
            row.clients,
            row.name,
            mean(&row.requests_per_sec),
            if is_ours { String::new() } else { ratio(ours, row) },
            row.p50.as_secs_f64() * 1e3,
            row.p99.as_secs_f64() * 1e3,
            row.processor_micros_per_request,
            per_cpu_second(row),
            if is_ours { String::new() } else { by_cpu },
            row.written_kib_per_request,
            row.refused,
        );
    }
}

fn ratio(ours: &Measured, theirs: &Measured) -> String {
    let (ours, theirs) = (&ours.requests_per_sec, &theirs.requests_per_sec);
    let rounds = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
    let (worst, best) = (rounds.clone().fold(f64::INFINITY, f64::min), rounds.fold(0.0, f64::max));
    format!("{:.1} ({worst:.1}–{best:.1})", mean(ours) / mean(theirs))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
