//! Counters of what the server does, and their text for Prometheus.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($variant:ident = $name:literal, $help:literal;)*) => {
        /// What is counted, from the start of the process.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Count { $(#[doc = $help] $variant,)* }

        /// Name and help of each count, in the order of the variants.
        const COUNTS: &[(&str, &str)] = &[$(($name, $help),)*];
    };
}

counts! {
    Connected = "connections_total", "Connections that were let in";
    Evicted = "connections_evicted_total", "Idle connections that made room for others";
    Refused = "requests_refused_at_gate_total", "Requests and connections that did not get past the gate";
    TooSlow = "clients_too_slow_total", "Clients that took too long to send a request or to take an answer";
    Answered2xx = "answers_2xx_total", "Answers with a status of 2xx";
    Answered4xx = "answers_4xx_total", "Answers with a status of 4xx";
    Answered5xx = "answers_5xx_total", "Answers with a status of 5xx";
    SignedIn = "log_ins_total", "Log-ins that succeeded";
    SignInRefused = "log_ins_refused_total", "Log-ins with a wrong name or password, and one-time codes that were none";
    Throttled = "log_ins_throttled_total", "Log-ins turned away because too many had failed";
    Rotated = "refreshes_rotated_total", "Refreshes that handed out a new refresh token";
    Concurrent = "refreshes_concurrent_total", "Refreshes answered with the token of another one within the grace period";
    ConcurrentElsewhere = "refreshes_concurrent_elsewhere_total", "The same, from another address than the rotation";
    Retried = "refreshes_retried_total", "Refreshes repeated with their retry key";
    Reused = "sessions_reused_total", "Sessions ended because a spent refresh token was presented";
    SweepFailed = "sweeps_failed_total", "Sweeps for dead sessions that stopped early";
}

/// What is measured when somebody asks: name, help, value.
pub type Gauge = (&'static str, &'static str, u64);

/// Gauges in the text format of Prometheus, version 0.0.4.
pub fn gauges_text(gauges: &[Gauge]) -> String {
    let line = |(name, help, value): &Gauge| {
        format!("# HELP latchkey_{name} {help}.\n# TYPE latchkey_{name} gauge\nlatchkey_{name} {value}\n")
    };
    gauges.iter().map(line).collect()
}

/// The counters.
#[derive(Debug)]
pub struct Metrics([AtomicU64; COUNTS.len()]);

impl Default for Metrics {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; COUNTS.len()])
    }
}

impl Metrics {
    /// Counts one more.
    pub fn count(&self, count: Count) {
        self.0[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn of(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    /// Counts an answer by the class of its status.
    pub fn count_answer(&self, status: u16) {
        match status {
            200..=299 => self.count(Count::Answered2xx),
            400..=499 => self.count(Count::Answered4xx),
            500..=599 => self.count(Count::Answered5xx),
            _ => {}
        }
    }
}

/// The text format of Prometheus, version 0.0.4.
impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for ((name, help), value) in COUNTS.iter().zip(&self.0) {
            let value = value.load(Ordering::Relaxed);
            write!(
                text,
                "# HELP latchkey_{name} {help}.\n# TYPE latchkey_{name} counter\nlatchkey_{name} {value}\n"
            )?;
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_line() {
        let metrics = Metrics::default();
        metrics.count(Count::Reused);
        metrics.count_answer(204);
        metrics.count_answer(503);
        let text = metrics.to_string();
        assert!(text.contains("\nlatchkey_sessions_reused_total 1\n"), "{text}");
        assert!(
            text.contains("\nlatchkey_answers_2xx_total 1\n")
                && text.contains("\nlatchkey_answers_5xx_total 1\n")
        );
        assert!(text.contains("\nlatchkey_answers_4xx_total 0\n"));
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), COUNTS.len());
    }
}
