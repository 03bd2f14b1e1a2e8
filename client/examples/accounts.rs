//! Several accounts in one program, each on a thread: `PASSWORD=… cargo run -p latchkey-client --example accounts -- \
//! http://127.0.0.1:8080 alice bob`.

use std::{env, thread};

use latchkey_client::{Client, Error, FileStore};

/// One client an account: a client is one session, which any number of threads may share.
fn account(server: &str, user: &str, password: &str) -> Result<Client, Error> {
    let client = Client::builder().store(FileStore::new(format!("accounts/{user}.json"))).build()?;
    if client.identity().is_none() {
        client.login(server, user, password)?;
    }
    Ok(client)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().ok_or("usage: accounts SERVER USER...")?;
    let password = env::var("PASSWORD")?;
    thread::scope(|scope| {
        for user in arguments {
            let (server, password) = (&server, &password);
            scope.spawn(move || {
                match account(server, &user, password).and_then(|client| client.get("/api/me")) {
                    Ok(response) => println!("{user}: {}", response.text()),
                    Err(error) => eprintln!("{user}: {error}"),
                }
            });
        }
    });
    Ok(())
}
