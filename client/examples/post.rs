//! A POST with a JSON body and a typed answer, in a session that ends with the program:
//! `cargo run -p latchkey-client --example post -- http://127.0.0.1:8080 alice /api/auth/password`.
//!
//! The passwords are read from the variables `PASSWORD` and `NEW_PASSWORD`.

use std::env;

use latchkey_client::{Client, Error};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(server), Some(user), Some(path)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: post SERVER USER PATH".into());
    };
    let (current, new) = (env::var("PASSWORD")?, env::var("NEW_PASSWORD")?);
    let client = Client::builder().build()?;
    client.login(&server, &user, &current)?;

    // Sent again after a 401, because the server has not acted on the first; never after an answer that was lost.
    let body = serde_json::json!({"current": current, "new": new});
    match client.post_json(&path, &body) {
        Ok(_) => println!("done"),
        Err(Error::Refused(response)) => {
            let problem: serde_json::Value = response.json()?;
            eprintln!("refused: {}", problem["title"]);
        }
        Err(other) => eprintln!("not known to be done: {other}"),
    }
    Ok(client.logout()?)
}
