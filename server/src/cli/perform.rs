//! Running an administrator's command over the store itself, or through the server that has it open.

use std::thread;
use std::time::Duration;

use super::{Failure, progress::Bar};
use crate::administration::{self, Answer, Command, Office};
use crate::clock::Clock;
use crate::control;
use crate::folder::{self, FolderError, Opened};
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::settings::Settings;
use crate::store::StoreError;

/// How often a store is tried which somebody else has open for a moment, and the pause in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(30);

/// Runs `command`; the person who typed it never needs to know which way it went.
pub(super) fn perform(settings: &Settings, command: Command) -> Result<Answer, Failure> {
    let mut outcome = None;
    perform_each(settings, command, |answer| {
        outcome = Some(answer);
        Ok(None)
    })?;
    outcome.ok_or_else(|| "the server gave no answer".into())
}

/// Runs `command`, then whatever `next` makes of its answer, until that is nothing.
pub(super) fn perform_each(
    settings: &Settings,
    mut command: Command,
    mut next: impl FnMut(Answer) -> Result<Option<Command>, Failure>,
) -> Result<(), Failure> {
    let makes_the_folder = matches!(command, Command::AddUser { .. });
    if !makes_the_folder && !folder::exists(settings) {
        let path = folder::store_path(settings);
        return Err(format!("there is no store at {}; choose its folder with --data", path.display()).into());
    }
    loop {
        let answer = match reach(settings, &command, || folder::open(settings, |_| {}))? {
            Reached::Server(answer) => answer,
            Reached::Store(opened) => return perform_here(settings, opened, command, next),
        };
        match next(answer)? {
            Some(another) => command = another,
            None => return Ok(()),
        }
    }
}

/// Runs commands on a store that nobody serves.
fn perform_here(
    settings: &Settings,
    opened: Opened,
    mut command: Command,
    mut next: impl FnMut(Answer) -> Result<Option<Command>, Failure>,
) -> Result<(), Failure> {
    if opened.is_new {
        eprintln!("latchkey: made a new store in {}, where there was none", settings.data.display());
    }
    let office = Office {
        clock: &Clock::starting_at(opened.store.highest_time_seen()?),
        hasher: &Hasher::new(1, settings.argon2_profile),
        keys: &KeyRing::new(settings.key_file.clone(), opened.keys),
        store: &opened.store,
        password_chars_min: settings.password_chars_min,
        day: None,
        in_force: None,
    };
    loop {
        let mut bar = Bar::default();
        let answer = administration::run(&office, command, &mut |done, total| bar.show(done, total))?;
        drop(bar);
        match next(answer)? {
            Some(another) => command = another,
            None => return Ok(()),
        }
    }
}

/// Who is there to do what was asked.
pub(super) enum Reached<T> {
    /// Nobody else: this process opened what it needs.
    Store(T),
    /// A server, which did it.
    Server(Answer),
}

/// Opens what a command needs or, when a server has it open, has the server do it.
pub(super) fn reach<T>(
    settings: &Settings,
    command: &Command,
    open: impl Fn() -> Result<T, FolderError>,
) -> Result<Reached<T>, Failure> {
    let mut in_the_way = String::new();
    let mut bar = Bar::default();
    for _ in 0..TRIES {
        match open() {
            Ok(opened) => return Ok(Reached::Store(opened)),
            Err(error) if error.is_in_use() => in_the_way = error.to_string(),
            Err(error) => return Err(error.into()),
        }
        match control::ask(&settings.data, command, &mut |done, total| bar.show(done, total)) {
            Ok(outcome) => return Ok(Reached::Server(outcome?)),
            // Another command has the store open, or a server that is just starting or stopping.
            Err(reason) if control::is_nobody_there(&reason) => thread::sleep(PAUSE),
            Err(reason) => {
                return Err(format!("{in_the_way} (its control socket does not answer: {reason})").into());
            }
        }
    }
    Err(in_the_way.into())
}

/// Opens the data folder for serving, waiting for a command that has it open for a moment.
pub(super) fn open_folder(
    settings: &Settings,
    on_failure: impl Fn(&StoreError) + Clone + Send + 'static,
) -> Result<Opened, Failure> {
    for _ in 1..TRIES {
        match folder::open(settings, on_failure.clone()) {
            Err(error) if error.is_in_use() && !control::is_served(&settings.data) => thread::sleep(PAUSE),
            opened => return Ok(opened?),
        }
    }
    Ok(folder::open(settings, on_failure)?)
}
