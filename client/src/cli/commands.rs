//! What the commands do.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use crate::{Client, Error, FileStore, Origin, Response};

use super::arguments::{Arguments, Command, Get, Login, Logout, Post};
use super::show::Show;
use super::trouble::Trouble;
use super::{password, state};

/// The longest body that is posted, in bytes: it has to be held in memory, for it may be sent twice.
const BODY_LEN_MAX: u64 = 1024 * 1024;

pub(crate) fn run(arguments: Arguments, show: Show) -> Result<(), Trouble> {
    let client = client(&arguments, show)?;
    match arguments.command {
        Command::Login(options) => login(&client, &options, show),
        Command::Get(options) => get(&client, &options, show),
        Command::Post(options) => post(&client, &options, show),
        Command::Token => token(&client, show),
        Command::Logout(options) => logout(&client, &options, show),
        Command::Status => show.status(client.identity().as_ref()),
    }
}

/// A client that waits for the 401: a person who asks for a trace wants to see the whole cycle.
fn client(arguments: &Arguments, show: Show) -> Result<Client, Trouble> {
    let file = state::file(arguments.state.as_deref(), &arguments.account)?;
    let mut builder = Client::builder().store(FileStore::new(file)).reactive();
    if arguments.trace {
        builder = builder.trace(move |event| show.event(&event.to_string()));
    }
    Ok(builder.build()?)
}

fn login(client: &Client, options: &Login, show: Show) -> Result<(), Trouble> {
    // Before anybody types a password.
    Origin::parse(&options.server).and_then(|origin| origin.check_reachable()).map_err(Error::from)?;
    let password = if options.password_stdin {
        password::from_stdin()
    } else {
        password::from_terminal(&options.user, &options.server)
    }?;
    show.signed_in(&client.login(&options.server, &options.user, &password)?)
}

fn get(client: &Client, options: &Get, show: Show) -> Result<(), Trouble> {
    let Some(every_secs) = options.every else {
        return tell(client.get(&options.target), false, show);
    };
    let mut left = options.repeat;
    loop {
        let outcome = tell(client.get(&options.target), true, show);
        left = left.map(|left| left - 1);
        match outcome {
            Err(trouble) if left == Some(0) || trouble.is_final() => return Err(trouble),
            Err(trouble) => drop(trouble.report(show)),
            Ok(()) if left == Some(0) => return Ok(()),
            Ok(()) => {}
        }
        thread::sleep(Duration::from_secs(every_secs));
    }
}

fn post(client: &Client, options: &Post, show: Show) -> Result<(), Trouble> {
    if client.identity().is_none() {
        // Before anybody waits for standard input.
        return Err(Error::SignedOut { code: None }.into());
    }
    let body = match &options.data {
        Some(data) => data.clone().into_bytes(),
        None => standard_input()?,
    };
    tell(client.post(&options.target, &options.content_type, &body), false, show)
}

fn standard_input() -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    io::stdin()
        .take(BODY_LEN_MAX + 1)
        .read_to_end(&mut body)
        .map_err(|error| Trouble::new(format!("cannot read standard input: {error}")))?;
    if body.len() as u64 > BODY_LEN_MAX {
        return Err(Trouble::new("what is on standard input is longer than 1 MiB".into()));
    }
    Ok(body)
}

fn token(client: &Client, show: Show) -> Result<(), Trouble> {
    let token = client.access_token()?;
    show.token(token.as_str(), client.secs_left(&token))
}

fn logout(client: &Client, options: &Logout, show: Show) -> Result<(), Trouble> {
    let was_signed_in = client.identity().is_some();
    if options.local { client.forget() } else { client.logout() }?;
    show.signed_out(was_signed_in)
}

/// Prints an answer; a refusal is one too, and then the trouble with it.
fn tell(answer: Result<Response, Error>, in_a_row: bool, show: Show) -> Result<(), Trouble> {
    match answer {
        Ok(response) => show.answer(&response, in_a_row),
        Err(Error::Refused(response)) => {
            show.answer(&response, true)?;
            Err(Error::Refused(response).into())
        }
        Err(error) => Err(error.into()),
    }
}
