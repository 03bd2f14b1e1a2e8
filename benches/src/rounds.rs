//! Time, in rounds in which every candidate has its turn.
//!
//! The machine speeds up, slows down and is shared. criterion and divan measure one candidate to its end and then the
//! next, so such a change falls on some of them only and spoils the ratios. Here it falls on all.

use std::hint::black_box;
use std::time::Instant;

use crate::candidates::{Candidate, Job};

const ROUNDS: usize = 1_500;
/// How often a candidate does its job per turn: long enough that reading the clock twice is nothing beside it.
const TIMES_PER_TURN: u32 = 100;
/// How often before that, unmeasured, to have its code and tables back in the caches.
const TIMES_TO_WARM_UP: u32 = 10;

/// Nanoseconds that a candidate took for one job.
pub(crate) struct Times {
    pub(crate) job: Job,
    pub(crate) name: &'static str,
    /// In the best round: what the work costs when nothing disturbs it.
    pub(crate) minimum: f64,
    /// In the middle one: what it cost on this machine, today.
    pub(crate) median: f64,
}

pub(crate) fn run(candidates: &[Candidate]) -> Vec<Times> {
    let mut rounds = vec![Vec::with_capacity(ROUNDS); candidates.len()];
    for round in 0..ROUNDS {
        let forwards = candidates.iter().zip(&mut rounds);
        // Back and forth, so that nobody always comes after the same neighbour.
        if round % 2 == 0 {
            forwards.for_each(|(candidate, times)| times.push(turn(candidate)));
        } else {
            forwards.rev().for_each(|(candidate, times)| times.push(turn(candidate)));
        }
    }
    let summaries = candidates.iter().zip(rounds).map(|(candidate, mut times)| {
        times.sort_by(f64::total_cmp);
        Times { job: candidate.job, name: candidate.name, minimum: times[0], median: times[ROUNDS / 2] }
    });
    summaries.collect()
}

/// What one job takes, in nanoseconds.
fn turn(candidate: &Candidate) -> f64 {
    (candidate.repeat)(TIMES_TO_WARM_UP);
    let start = Instant::now();
    (candidate.repeat)(black_box(TIMES_PER_TURN));
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES_PER_TURN)
}
