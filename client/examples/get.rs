//! One GET, from a program that stays signed in: `cargo run -p latchkey-client --example get -- http://127.0.0.1:8080 alice`.
//!
//! The password is read from the variable `PASSWORD`, and only when nobody is signed in.

use latchkey_client::{Client, Error, FileStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(user)) = (arguments.next(), arguments.next()) else {
        return Err("usage: get SERVER USER".into());
    };
    let client = Client::builder().store(FileStore::new("get-session.json")).build()?;
    if client.identity().is_none() {
        client.login(&server, &user, &std::env::var("PASSWORD")?)?;
    }
    match client.get("/api/me") {
        Ok(response) => println!("{}", response.text()),
        Err(Error::Network(reason)) => eprintln!("offline, still signed in: {reason}"),
        Err(Error::SignedOut { .. }) => eprintln!("signed out: run it again to sign in"),
        Err(other) => return Err(other.into()),
    }
    Ok(())
}
