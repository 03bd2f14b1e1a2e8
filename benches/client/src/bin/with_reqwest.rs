//! The same by hand, as far as it fits: signs in, asks, and after a 401 refreshes and repeats: `with_reqwest SERVER USER
//! PASSWORD`. It keeps the refresh token in a file, but knows no retry key, no lock and no difference between offline and
//! signed out.

use reqwest::blocking::Client;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, user, password] = &arguments[..] else { return Err("SERVER USER PASSWORD".into()) };
    let client = Client::new();
    let tokens = |path: &str, body: Value| -> Result<Value, Box<dyn std::error::Error>> {
        let answer = client.post(format!("{server}/api/auth/{path}")).json(&body).send()?;
        let tokens: Value = answer.error_for_status()?.json()?;
        std::fs::write("session.txt", tokens["refresh_token"].as_str().ok_or("no token")?)?;
        Ok(tokens)
    };
    let refresh = |token: &str| tokens("refresh", json!({"refresh_token": token}));
    let mut access = match std::fs::read_to_string("session.txt") {
        Ok(token) => refresh(&token)?,
        Err(_) => tokens("login", json!({"username": user, "password": password, "delivery": "body"}))?,
    };
    let ask = |access: &Value| {
        let token = access["access_token"].as_str().unwrap_or_default();
        client.get(format!("{server}/api/me")).bearer_auth(token).send()
    };
    let mut answer = ask(&access)?;
    if answer.status() == 401 {
        access = refresh(&std::fs::read_to_string("session.txt")?)?;
        answer = ask(&access)?;
    }
    println!("{}", answer.text()?);
    Ok(())
}
