//! `latchkey key`: the master keys, by their ids; a secret is printed only by `export`, which says so.

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Failure, output::Form, perform::perform, unexpected, utc_time};
use crate::administration::{Answer, Command, KeyRow};
use crate::keys::{KeyRing, Keys};
use crate::settings::Settings;

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys and how many sessions need each
    List,
    /// Make a new key that is known from now on and does not sign yet
    ///
    /// Give its export to whoever verifies tokens offline, then activate it: so nobody refuses its first token.
    Add,
    /// Let a key that was added sign from now on; tokens of the others keep working
    Activate {
        /// Its id
        kid: u8,
    },
    /// Add a key and activate it at once, for when nobody verifies tokens offline
    Rotate,
    /// Remove a key, with which every token it issued becomes invalid: refused while some may live
    Retire {
        /// Its id
        kid: u8,
        /// Also when sessions still need it; they end
        #[arg(long)]
        force: bool,
        /// Also less than a day after it stopped signing, when access tokens of it may live; they are refused from
        /// then on, which whoever holds them was not promised
        #[arg(long)]
        even_if_tokens_live: bool,
    },
    /// Print a secret for another verifier
    #[command(subcommand)]
    Export(Export),
}

#[derive(Subcommand)]
pub(super) enum Export {
    /// The secret that access tokens are signed and verified with (HS256)
    Access {
        /// The key's id [default: the one that signs]
        kid: Option<u8>,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Base64url)]
        format: Format,
    },
}

/// Spellings of a secret.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// 64 hexadecimal digits
    Hex,
    /// 43 characters
    Base64url,
    /// A JSON Web Key (RFC 7517)
    Jwk,
}

pub(super) fn run(settings: &Settings, command: KeyCommand, form: Form) -> Result<(), Failure> {
    match command {
        KeyCommand::List => match perform(settings, Command::ListKeys)? {
            Answer::Keys(keys) => form.print(&keys, |keys| print_table(keys)),
            other => Err(unexpected(other)),
        },
        KeyCommand::Add => match perform(settings, Command::AddKey)? {
            Answer::NewKey(kid) => form.print(&Named { kid }, |_| {
                say!("key {kid} is known and does not sign yet; give its export to those who verify tokens offline");
                say!("(`latchkey key export access {kid}`), then `latchkey key activate {kid}`");
            }),
            other => Err(unexpected(other)),
        },
        KeyCommand::Activate { kid } => {
            perform(settings, Command::ActivateKey { kid })?;
            form.print(&Named { kid }, |_| say!("key {kid} signs from now on"))
        }
        KeyCommand::Rotate => match perform(settings, Command::RotateKey)? {
            Answer::NewKey(kid) => form.print(&Named { kid }, |_| {
                say!("key {kid} signs from now on; give its export to those who verify tokens offline");
            }),
            other => Err(unexpected(other)),
        },
        KeyCommand::Retire { kid, force, even_if_tokens_live } => {
            perform(settings, Command::RetireKey { kid, force, even_if_tokens_live })?;
            form.print(&Named { kid }, |_| say!("retired key {kid}"))
        }
        KeyCommand::Export(Export::Access { kid, format }) => export(settings, kid, format, form),
    }
}

/// A key by its id.
#[derive(Serialize)]
struct Named {
    kid: u8,
}

fn print_table(keys: &[KeyRow]) {
    say!("KID  SESSIONS  SIGNS");
    for key in keys {
        let signs = match key.signed_until {
            _ if key.signs => "yes".to_owned(),
            _ if key.standby => "not yet".to_owned(),
            Some(until) => format!("until {}", utc_time(until)),
            None => "no".to_owned(),
        };
        say!("{:3}  {:8}  {signs}", key.kid, key.needed_by_sessions);
    }
}

/// A JSON Web Key (RFC 7517 §4, RFC 7518 §6.4).
#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'a str,
    alg: &'a str,
    r#use: &'a str,
    kid: &'a str,
    k: &'a str,
}

fn export(settings: &Settings, kid: Option<u8>, format: Format, form: Form) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Exported<'a> {
        kid: u8,
        access: &'a str,
    }
    let keys = Keys::read(&settings.key_file)?;
    let kid = kid.unwrap_or(keys.signing_kid());
    let secret = KeyRing::new(settings.key_file.clone(), keys).access_secret(kid)?;
    let base64url = Zeroizing::new(Base64UrlUnpadded::encode_string(&*secret));
    eprintln!("latchkey: whoever holds this secret can sign access tokens as anybody, not only verify them");
    let jwk = Jwk { kty: "oct", alg: "HS256", r#use: "sig", kid: &kid.to_string(), k: &base64url };
    match format {
        Format::Hex => {
            let access = hexadecimal(&*secret);
            form.print(&Exported { kid, access: &access }, |exported| say!("{}", exported.access))
        }
        Format::Base64url => {
            form.print(&Exported { kid, access: &base64url }, |exported| say!("{}", exported.access))
        }
        // JSON, and nothing else, whatever was asked for.
        Format::Jwk => Form::Json.print(&jwk, |_| {}),
    }
}

fn hexadecimal(secret: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * secret.len()));
    for byte in secret {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(digit.into(), 16).expect("four bits are a digit"));
        }
    }
    text
}
