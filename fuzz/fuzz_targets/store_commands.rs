//! Any commands to the store, some in one commit: who is there and which sessions live is what a plain map says.

#![no_main]

use latchkey::session::SESSIONS_PER_USER_MAX;
use latchkey_fuzz::commands::{Command, Model, Outside};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (mut model, store) = (Model::default(), Outside::empty());
    let commands: Vec<_> = input.as_chunks().0.iter().map(Command::of).collect();
    for batch in commands.split_inclusive(|command| *command == Command::Commit).map(<[_]>::to_vec) {
        let expected: Vec<_> = batch.iter().map(|command| model.perform(command)).collect();
        assert_eq!(store.perform(batch), expected);
        let living = store.living();
        assert!(living.values().all(|(_, sessions)| sessions.len() <= SESSIONS_PER_USER_MAX));
        assert_eq!(living, model.living());
    }
});
