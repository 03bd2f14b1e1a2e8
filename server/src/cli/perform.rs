//! Running an administrator's command over the store itself, or through the server that has it open.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use super::{Failure, progress};
use crate::administration::{self, Answer, Command, Office};
use crate::clock::Clock;
use crate::control;
use crate::folder::{self, Opened};
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::settings::Settings;
use crate::store::StoreError;

/// Runs `command`; the person who typed it never needs to know which way it went.
pub(super) fn perform(settings: &Settings, command: Command) -> Result<Answer, Failure> {
    let makes_the_folder = matches!(command, Command::AddUser { .. });
    if !makes_the_folder && !folder::exists(settings) {
        let path = folder::store_path(settings);
        return Err(format!("there is no store at {}; choose its folder with --data", path.display()).into());
    }
    let deadline = Waiting::begin();
    loop {
        match folder::open(settings, |_| {}) {
            Ok(opened) => {
                let office = Office {
                    clock: &Clock::starting_at(opened.store.highest_time_seen()?),
                    hasher: &Hasher::new(1, settings.argon2_profile),
                    keys: &KeyRing::new(settings.key_file.clone(), opened.keys),
                    store: &opened.store,
                    is_serving: false,
                };
                return Ok(administration::run(&office, command, &mut progress::show)?);
            }
            Err(error) if error.is_in_use() => {
                match control::ask(&settings.data, &command, &mut progress::show) {
                    Ok(outcome) => return Ok(outcome?),
                    // Another command has the store open, or a server that is just starting or stopping.
                    Err(reason) if control::is_nobody_there(&reason) && deadline.goes_on() => {}
                    Err(reason) => {
                        let message = format!("{error} (its control socket does not answer: {reason})");
                        return Err(message.into());
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens the data folder for serving, waiting for a command that has it open for a moment.
pub(super) fn open_folder(
    settings: &Settings,
    on_failure: impl Fn(&StoreError) + Clone + Send + 'static,
) -> Result<Opened, Failure> {
    let deadline = Waiting::begin();
    loop {
        match folder::open(settings, on_failure.clone()) {
            Err(error) if error.is_in_use() && !control::is_served(&settings.data) && deadline.goes_on() => {}
            opened => return Ok(opened?),
        }
    }
}

/// Tries that are left for a store which somebody else has open for a moment.
struct Waiting(Cell<u32>);

impl Waiting {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(30);

    fn begin() -> Self {
        Self(Cell::new(Self::TRIES))
    }

    /// Pauses and says whether to try once more.
    fn goes_on(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        thread::sleep(Self::PAUSE);
        self.0.get() > 0
    }
}
