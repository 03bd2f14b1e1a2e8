//! Signs in once, asks, and stays signed in: `with_latchkey SERVER USER PASSWORD`.

use latchkey_client::{Client, FileStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, user, password] = &arguments[..] else { return Err("SERVER USER PASSWORD".into()) };
    let client = Client::builder().store(FileStore::new("session.json")).build()?;
    if client.identity().is_none() {
        client.login(server, user, password)?;
    }
    println!("{}", client.get("/api/me")?.text());
    Ok(())
}
