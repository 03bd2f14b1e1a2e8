//! A program that runs for years: `cargo run -p latchkey-client --example agent -- http://127.0.0.1:8080 sensor`.
//!
//! It outlives restarts, lost networks and servers, and asks for help only when somebody has ended its session.

use std::time::Duration;
use std::{env, thread};

use latchkey_client::{Client, Error, FileStore};

const PAUSE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(server), Some(user)) = (arguments.next(), arguments.next()) else {
        return Err("usage: agent SERVER USER".into());
    };
    let client = Client::builder()
        .store(FileStore::new("agent-session.json"))
        .trace(|event| eprintln!("{event}"))
        .build()?;
    if client.identity().is_none() {
        client.login(&server, &user, &env::var("PASSWORD")?)?;
    }
    loop {
        match client.get("/api/me") {
            Ok(response) => println!("{}", response.text()),
            Err(error @ Error::SignedOut { .. }) => return Err(error.into()),
            Err(Error::Busy { retry_after_secs: Some(secs) }) => {
                thread::sleep(Duration::from_secs(secs.into()));
            }
            Err(passing) => eprintln!("{passing}; trying again in {} s", PAUSE.as_secs()),
        }
        thread::sleep(PAUSE);
    }
}
