//! Running an administrator's command over the store itself, or through the server that has it open.

use super::{Failure, progress};
use crate::administration::{self, Answer, Command, Office};
use crate::clock::Clock;
use crate::control;
use crate::folder;
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::settings::Settings;

/// Runs `command`; the person who typed it never needs to know which way it went.
pub(super) fn perform(settings: &Settings, command: Command) -> Result<Answer, Failure> {
    let makes_the_folder = matches!(command, Command::AddUser { .. });
    if !makes_the_folder && !folder::exists(settings) {
        let path = folder::store_path(settings);
        return Err(format!("there is no store at {}; choose its folder with --data", path.display()).into());
    }
    match folder::open(settings, |_| {}) {
        Ok(opened) => {
            let office = Office {
                clock: &Clock::starting_at(opened.store.highest_time_seen()?),
                hasher: &Hasher::new(1, settings.argon2_profile),
                keys: &KeyRing::new(settings.key_file.clone(), opened.keys),
                store: &opened.store,
            };
            Ok(administration::run(&office, command, &mut progress::show)?)
        }
        Err(error) if error.is_in_use() => {
            match control::ask(&settings.data, &command, &mut progress::show) {
                Ok(outcome) => Ok(outcome?),
                Err(reason) => Err(format!("{error} (its control socket does not answer: {reason})").into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}
