//! Instructions, as callgrind counts them: exact, and the same on every run.
//!
//! Valgrind's processor has AVX2 but no SHA instructions, so every library falls back to SHA-256 in software. That makes
//! these figures a better guess at a microcontroller than the times are.

use std::io::{Error, Result};
use std::process::Command;
use std::{env, str};

use crate::candidates::{Candidate, Job};

/// Two counts of the same process, which differ by the jobs alone; the rest is starting up.
const FEW_TIMES: u32 = 50;
const MANY_TIMES: u32 = 150;

/// Instructions that a candidate took for one job.
pub(crate) struct Count {
    pub(crate) job: Job,
    pub(crate) name: &'static str,
    pub(crate) instructions: u64,
}

pub(crate) fn count(candidates: &[Candidate]) -> Result<Vec<Count>> {
    let counts = candidates.iter().enumerate().map(|(index, candidate)| {
        let jobs = under_callgrind(index, MANY_TIMES)?.saturating_sub(under_callgrind(index, FEW_TIMES)?);
        let instructions = jobs / u64::from(MANY_TIMES - FEW_TIMES);
        Ok(Count { job: candidate.job, name: candidate.name, instructions })
    });
    counts.collect()
}

/// Does one candidate's job so many times, for the process that counts.
pub(crate) fn repeat(candidates: &[Candidate], index: &str, times: &str) {
    let candidate = index.parse().ok().and_then(|index: usize| candidates.get(index));
    let candidate = candidate.expect("`count` passes the place of a candidate");
    (candidate.repeat)(times.parse().expect("`count` passes a number"));
}

fn under_callgrind(index: usize, times: u32) -> Result<u64> {
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe()?);
    let output = callgrind.args(["repeat", &index.to_string(), &times.to_string()]).output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let collected = printed.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, count)| count.trim().parse().ok());
    collected.ok_or_else(|| Error::other(format!("callgrind counted nothing:\n{printed}")))
}
