//! The refresh protocol in plain words, kept the long way: beside the real decision in a test and in a fuzz target.

use latchkey::session::{Decision, Declined, EndReason, Policy, Repetition, Rotation};

pub(crate) const GRACE_SECS: u64 = 30;
pub(crate) const POLICY: Policy =
    Policy { grace_secs: GRACE_SECS, inactivity_secs: 500, lifetime_secs: 2000 };

/// All there is to know of a session, kept the long way: every rotation with its time and its key.
pub(crate) struct Plain {
    began: u64,
    /// The generation and the retry key of each rotation, oldest first, and when it was.
    rotations: Vec<(u32, u8, u64)>,
    pub(crate) is_over: bool,
}

impl Plain {
    /// A session that has just begun.
    pub(crate) fn begun(now: u64) -> Self {
        Self { began: now, rotations: vec![(1, 0, now)], is_over: false }
    }

    /// What becomes of it after an answer to this token and key.
    pub(crate) fn take(&mut self, answer: &str, token: u32, key: u8, now: u64) {
        match answer {
            "rotated" => self.rotations.push((self.current() + 1, key, now)),
            "rotated, healed" => self.rotations = vec![(token, 0, now), (token + 1, key, now)],
            "expired" | "revoked" | "reused" => self.is_over = true,
            _ => {}
        }
    }

    pub(crate) fn current(&self) -> u32 {
        self.rotations.last().expect("the log-in counts as one").0
    }

    /// The key that the rotation to `generation` was asked with; 0 is none.
    fn key_of(&self, generation: u32) -> u8 {
        self.rotations.iter().find(|rotation| rotation.0 == generation).map_or(0, |rotation| rotation.1)
    }

    /// What the protocol says in words, row by row.
    pub(crate) fn expected(&self, token: u32, key: u8, now: u64, is_user_fine: bool) -> &'static str {
        let last_time = self.rotations.last().expect("the log-in counts as one").2;
        let current = self.current();
        if self.is_over {
            "session ended"
        } else if now - last_time >= POLICY.inactivity_secs || now - self.began >= POLICY.lifetime_secs {
            "expired"
        } else if !is_user_fine {
            "revoked"
        } else if token > current {
            "rotated, healed"
        } else if token == current {
            if now - last_time < GRACE_SECS {
                "the same token"
            } else if key != 0 && key == self.key_of(current) {
                "retry key reused"
            } else {
                "rotated"
            }
        } else if token + 1 == current && now - last_time < GRACE_SECS {
            "the same child, concurrent"
        } else if token + 1 == current && key != 0 && key == self.key_of(current) {
            "the same child, retried"
        } else if token + 2 == current && key != 0 && key == self.key_of(current - 1) {
            "superseded"
        } else {
            "reused"
        }
    }
}

/// The same of the real decision.
pub(crate) fn in_words(decision: &Decision) -> &'static str {
    match decision {
        Decision::Rotate(_, Rotation::Current) => "rotated",
        Decision::Rotate(_, Rotation::Ahead) => "rotated, healed",
        Decision::Repeat(Repetition::Unrotated) => "the same token",
        Decision::Repeat(Repetition::Concurrent) => "the same child, concurrent",
        Decision::Repeat(Repetition::Retried) => "the same child, retried",
        Decision::Decline(Declined::RetryKeyReused) => "retry key reused",
        Decision::Decline(Declined::Superseded) => "superseded",
        Decision::End(EndReason::Gone) => "session ended",
        Decision::End(EndReason::Expired) => "expired",
        Decision::End(EndReason::Revoked) => "revoked",
        Decision::End(EndReason::Reused) => "reused",
    }
}
