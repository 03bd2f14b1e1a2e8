//! What the commands do.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use crate::{Client, Error, FileStore, Identity, Origin, Response};

use super::arguments::{Arguments, Command, Get, Login, Logout};
use super::trouble::Trouble;
use super::{password, state};

pub(crate) fn run(arguments: Arguments) -> Result<(), Trouble> {
    let client = client(&arguments)?;
    match arguments.command {
        Command::Login(options) => login(&client, &options),
        Command::Get(options) => get(&client, &options),
        Command::Logout(options) => logout(&client, &options),
        Command::Status => status(&client),
    }
}

/// A client that waits for the 401: a person who asks for a trace wants to see the whole cycle.
fn client(arguments: &Arguments) -> Result<Client, Trouble> {
    let file = state::file(arguments.state.as_deref())?;
    let mut builder = Client::builder().store(FileStore::new(file)).reactive();
    if arguments.trace {
        // A reader that went away is no reason to stop.
        builder = builder.trace(|event| drop(writeln!(io::stderr(), "{event}")));
    }
    Ok(builder.build()?)
}

fn login(client: &Client, options: &Login) -> Result<(), Trouble> {
    // Before anybody types a password.
    Origin::parse(&options.server).and_then(|origin| origin.check_reachable()).map_err(Error::from)?;
    let password = if options.password_stdin {
        password::from_stdin()
    } else {
        password::from_terminal(&options.user, &options.server)
    }?;
    let identity = client.login(&options.server, &options.user, &password)?;
    print(signed_in(&identity).as_bytes())
}

fn get(client: &Client, options: &Get) -> Result<(), Trouble> {
    let Some(every_secs) = options.every else {
        return print_answer(&client.get(&options.target)?, io::stdout().is_terminal());
    };
    let mut left = options.repeat;
    loop {
        let answer = client.get(&options.target).map_err(Trouble::from);
        let outcome = answer.and_then(|response| print_answer(&response, true));
        left = left.map(|left| left - 1);
        match outcome {
            Err(trouble) if left == Some(0) || trouble.is_final() => return Err(trouble),
            Err(trouble) => drop(trouble.report()),
            Ok(()) if left == Some(0) => return Ok(()),
            Ok(()) => {}
        }
        thread::sleep(Duration::from_secs(every_secs));
    }
}

fn logout(client: &Client, options: &Logout) -> Result<(), Trouble> {
    let was_signed_in = client.identity().is_some();
    if options.local { client.forget() } else { client.logout() }?;
    print(if was_signed_in { b"signed out\n" } else { b"not signed in\n" })
}

fn status(client: &Client) -> Result<(), Trouble> {
    let identity = client.identity().ok_or(Error::SignedOut { code: None })?;
    print(format!("{}session {}\n", signed_in(&identity), identity.session).as_bytes())
}

fn signed_in(identity: &Identity) -> String {
    format!("signed in to {} as {}\n", identity.origin, identity.user)
}

/// A single answer goes to a file or a pipe byte for byte; people, and answers in a row, get whole lines.
fn print_answer(response: &Response, as_line: bool) -> Result<(), Trouble> {
    print(response.body())?;
    if as_line && !response.body().ends_with(b"\n") { print(b"\n") } else { Ok(()) }
}

fn print(bytes: &[u8]) -> Result<(), Trouble> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Trouble::new(format!("cannot write the answer: {error}"))),
    }
}
