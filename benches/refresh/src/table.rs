//! The table of the load, in Markdown, so that it can be pasted as it is.

use crate::rounds::Measured;

pub(crate) fn print_head() {
    println!(
        "| clients | server   | requests/s | latchkey ÷ axum | p50 ms | p99 ms | CPU µs a request | KiB written a request |"
    );
    println!(
        "|--------:|:---------|-----------:|----------------:|-------:|-------:|-----------------:|----------------------:|"
    );
}

/// Prints the two rows for one number of clients; the ratio is of all rounds, in parentheses of the worst and best one.
pub(crate) fn print(measured: &[Measured]) {
    for row in measured {
        let ratio = if row.name == "latchkey" { ratio(measured) } else { String::new() };
        println!(
            "| {:>7} | {:<8} | {:>10.0} | {:>15} | {:>6.2} | {:>6.2} | {:>16.0} | {:>21.1} |",
            row.clients,
            row.name,
            mean(&row.requests_per_sec),
            ratio,
            row.p50.as_secs_f64() * 1e3,
            row.p99.as_secs_f64() * 1e3,
            row.processor_micros_per_request,
            row.written_kib_per_request,
        );
    }
}

fn ratio(measured: &[Measured]) -> String {
    let [ours, theirs] = measured else { return String::new() };
    let (ours, theirs) = (&ours.requests_per_sec, &theirs.requests_per_sec);
    let rounds = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
    let (worst, best) = (rounds.clone().fold(f64::INFINITY, f64::min), rounds.fold(0.0, f64::max));
    format!("{:.1} ({worst:.1}–{best:.1})", mean(ours) / mean(theirs))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
