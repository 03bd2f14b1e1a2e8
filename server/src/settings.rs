//! Settings: one table of names, defaults and ranges, and the flags, environment and `.env` file that fill it in.
//!
//! A flag wins over a `LATCHKEY_*` variable, a variable over `.env` in the working directory. No secret is a setting.

mod dotenv;
mod orchestrator;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use log::LevelFilter;
use serde::{Deserialize, Serialize};

use crate::findings::Finding;
use crate::gate::TrustedProxies;
use crate::hasher::Profile;
use crate::keys;
use crate::password::{PASSWORD_CHARS_MIN, PASSWORD_CHARS_MIN_RANGE};
use crate::session::Policy;
use crate::site::PublicUrl;
use values::{cores, listen_address, log_level, networks, origins, profile, token_text, yes_or_no};

/// What every variable of ours starts with.
const PREFIX: &str = "LATCHKEY_";

/// Longest issuer or audience in bytes, so that every token fits the buffers of devices.
const TOKEN_TEXT_LEN_MAX: usize = 255;

/// Most seconds an access token can be made to live: that long after a key stopped signing none of its tokens lives.
pub const ACCESS_TTL_SECS_MAX: u64 = 86_400;

/// One line of the table.
#[derive(Debug)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// What holds when nothing is set, as a person would write it.
    pub default: &'static str,
    /// What may stand there.
    pub range: &'static str,
    /// What it is for.
    pub help: &'static str,
}

impl Setting {
    /// The flag of the same meaning, without the dashes: `LATCHKEY_GRACE_SECS` is `grace-secs`.
    pub fn flag(&self) -> String {
        self.name[PREFIX.len()..].to_ascii_lowercase().replace('_', "-")
    }
}

macro_rules! settings {
    ($($constant:ident = $name:literal, $default:literal, $range:literal, $help:literal;)*) => {
        $(const $constant: &str = $name;)*

        /// Every setting there is.
        pub const SETTINGS: &[Setting] =
            &[$(Setting { name: $name, default: $default, range: $range, help: $help },)*];
    };
}

settings! {
    DATA = "LATCHKEY_DATA", "./latchkey-data", "a folder",
        "Folder of the store, the key file and the control socket";
    KEY_FILE = "LATCHKEY_KEY_FILE", "keys in the data folder", "a file that only its owner can read",
        "File of the master keys, made on first start";
    LISTEN = "LATCHKEY_LISTEN", "127.0.0.1:8080", "an IP address and a port; port 0 takes a free one; off loopback it needs an https public URL",
        "Address to listen on";
    PUBLIC_URL = "LATCHKEY_PUBLIC_URL", "http:// and the address listened on", "https://HOST[:PORT], or http:// for loopback",
        "What browsers call this server; decides name and flags of the refresh cookie";
    ISSUER = "LATCHKEY_ISSUER", "the public URL", "1 to 255 bytes",
        "The iss claim of access tokens";
    AUDIENCE = "LATCHKEY_AUDIENCE", "the issuer", "1 to 255 bytes",
        "The aud claim of access tokens";
    ACCESS_TTL = "LATCHKEY_ACCESS_TTL_SECS", "600", "1 to 86400 seconds",
        "Life of an access token";
    GRACE = "LATCHKEY_GRACE_SECS", "30", "0 to 60 seconds",
        "How long after a rotation the token before it still earns the same child";
    INACTIVITY = "LATCHKEY_SESSION_INACTIVITY_SECS", "604800", "1 to 34560000 seconds",
        "Life of a session that is not refreshed";
    LIFETIME = "LATCHKEY_SESSION_LIFETIME_SECS", "2592000", "1 to 34560000 seconds",
        "Life of a session however often it is refreshed";
    ALLOWED_ORIGINS = "LATCHKEY_ALLOWED_ORIGINS", "none", "origins such as https://app.example.com, comma-separated",
        "Other sites whose pages may call this server";
    TRUSTED_PROXIES = "LATCHKEY_TRUSTED_PROXIES", "none", "addresses and networks such as 10.0.0.0/8, comma-separated",
        "Proxies whose X-Forwarded-For tells who sent a request";
    MAX_CONNECTIONS = "LATCHKEY_MAX_CONNECTIONS", "1024", "16 to 65536",
        "Connections at once";
    MAX_CONNECTIONS_PER_ADDRESS = "LATCHKEY_MAX_CONNECTIONS_PER_ADDRESS", "256", "1 to 65536",
        "Connections at once from one address; trusted proxies are exempt";
    PASSWORD_MIN_CHARS = "LATCHKEY_PASSWORD_MIN_CHARS", "15", "8 to 64",
        "Fewest characters of a new password";
    ARGON2_SLOTS = "LATCHKEY_ARGON2_SLOTS", "one a core", "1 to 64",
        "How many passwords are hashed at once";
    ARGON2_PROFILE = "LATCHKEY_ARGON2_PROFILE", "standard", "standard (19 MiB a hash) or low-memory (7 MiB)",
        "Cost of a password hash";
    MONITORS = "LATCHKEY_MONITORS", "none", "addresses and networks such as 10.0.0.0/8, comma-separated",
        "Who may ask for /readyz and /metrics, besides this machine";
    LOG_LEVEL = "LATCHKEY_LOG_LEVEL", "info", "error, warn, info, debug, trace or off",
        "How much is logged";
    ALLOW_PLAIN_HTTP = "LATCHKEY_ALLOW_PLAIN_HTTP", "no", "yes or no",
        "Whether passwords and tokens may travel in clear text off loopback, for development";
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// The key file.
    pub key_file: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The public URL, when it is not the address listened on.
    pub public_url: Option<PublicUrl>,
    /// The issuer, when it is not the public URL.
    pub issuer: Option<String>,
    /// The audience, when it is not the issuer.
    pub audience: Option<String>,
    /// Seconds an access token lives.
    pub access_ttl_secs: u64,
    /// How long sessions live.
    pub policy: Policy,
    /// Other sites whose pages may call.
    pub allowed_origins: Vec<String>,
    /// Proxies that are believed.
    pub trusted_proxies: TrustedProxies,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_address: usize,
    /// Fewest characters of a new password.
    pub password_chars_min: usize,
    /// Password hashes at once.
    pub argon2_slots: usize,
    /// Cost of a password hash.
    pub argon2_profile: Profile,
    /// Who may ask whether the server is ready, and what it has counted.
    pub monitors: TrustedProxies,
    /// How much is logged; `None` when nothing was said.
    pub log_level: Option<LevelFilter>,
    /// Whether plain http may be spoken off loopback.
    pub allow_plain_http: bool,
}

/// The settings that a running server has in force, as texts.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InForce {
    /// The version of the program.
    pub version: String,
    /// Where it listens.
    pub listening: String,
    /// Each setting's name and value.
    pub settings: Vec<(String, String)>,
    /// What those settings show.
    pub findings: Vec<Finding>,
}

/// Where a value was given.
#[derive(Debug)]
struct Source {
    text: String,
    line: Option<usize>,
}

impl Source {
    fn place(&self) -> String {
        self.line.map(|line| format!(" (line {line})")).unwrap_or_default()
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        Self { text, line: None }
    }
}

/// Values that were given, and where: a flag, the environment, or the `.env` file.
#[derive(Debug, Default)]
pub struct Given {
    values: BTreeMap<&'static str, (String, Source)>,
    /// Variables that begin like ours and are an orchestrator's.
    ignored: Vec<String>,
    /// The value of `PORT`, by which some platforms say where to listen.
    platform_port: Option<String>,
}

impl Given {
    /// Collects what flags, environment and the file `dotenv` say; each wins over the next.
    ///
    /// # Errors
    /// [`SettingError`] for a name that is no setting, a value that is no text, or a file that cannot be read.
    pub fn gather(
        flags: impl IntoIterator<Item = (&'static str, String)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        dotenv: &Path,
    ) -> Result<Self, SettingError> {
        let mut given = Self::default();
        for (name, value) in flags {
            let setting =
                SETTINGS.iter().find(|setting| setting.name == name).expect("flags come from the table");
            if value.is_empty() {
                return Err(SettingError(format!(
                    "--{} is empty; leave it out or give it a value",
                    setting.flag()
                )));
            }
            given.add(name, value, Source::from(format!("--{}", setting.flag())))?;
        }
        for (name, value) in environment {
            let Some(name) = name.to_str() else { continue };
            if name == "PORT" {
                given.platform_port = value.into_string().ok();
                continue;
            }
            if !name.starts_with(PREFIX) {
                continue;
            }
            let is_setting = SETTINGS.iter().any(|setting| setting.name == name);
            if !is_setting && orchestrator::is_set_by_one(name, &value.to_string_lossy()) {
                given.ignored.push(name.to_owned());
                continue;
            }
            let value = value
                .into_string()
                .map_err(|_| SettingError(format!("the environment variable {name} is not UTF-8")))?;
            given.add(name, value, Source::from(name.to_owned()))?;
        }
        let file = dotenv.display();
        let lines = dotenv::read(dotenv).map_err(|error| SettingError(format!("{file}: {error}")))?;
        for dotenv::Line { number, name, value } in lines {
            let source = Source { text: format!("{name} in {file}"), line: Some(number) };
            given.add(&name, value, source)?;
        }
        given.ignored.sort_unstable();
        Ok(given)
    }

    fn add(&mut self, name: &str, value: String, source: Source) -> Result<(), SettingError> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
            let advice = match meant_by(name) {
                Some(meant) => format!("did you mean {meant}? Correct or remove it"),
                None => "correct or remove it".to_owned(),
            };
            return Err(SettingError(format!(
                "{} is no setting of latchkey{}; {advice}. The settings are {}",
                source.text,
                source.place(),
                names.join(", ")
            )));
        };
        // An empty variable is how shells and container files say "not set".
        if !value.is_empty() {
            self.values.entry(setting.name).or_insert((value, source));
        }
        Ok(())
    }

    /// Reads every value that was given and fills in the defaults.
    ///
    /// # Errors
    /// [`SettingError`] for the first value out of its range.
    pub fn resolve(&self) -> Result<Settings, SettingError> {
        let data = self.value(DATA).map_or_else(|| PathBuf::from("./latchkey-data"), PathBuf::from);
        let key_file = self.value(KEY_FILE).map_or_else(|| data.join(keys::FILE_NAME), PathBuf::from);
        let allow_plain_http = self.parsed(ALLOW_PLAIN_HTTP, yes_or_no)?.unwrap_or(false);
        let read_url = if allow_plain_http { PublicUrl::parse_also_plain } else { PublicUrl::parse };
        let public_url = self.parsed(PUBLIC_URL, |text| read_url(text).map_err(|e| e.to_string()))?;
        let has_tls = public_url.as_ref().is_some_and(PublicUrl::is_https);
        let listen = self.parsed(LISTEN, |text| listen_address(text, has_tls || allow_plain_http))?;
        Ok(Settings {
            listen: listen.unwrap_or(([127, 0, 0, 1], 8080).into()),
            public_url,
            issuer: self.parsed(ISSUER, token_text)?,
            audience: self.parsed(AUDIENCE, token_text)?,
            access_ttl_secs: self.number(ACCESS_TTL, 1..=ACCESS_TTL_SECS_MAX)?.unwrap_or(600),
            policy: Policy {
                grace_secs: self.number(GRACE, 0..=60)?.unwrap_or(30),
                inactivity_secs: self.number(INACTIVITY, 1..=34_560_000)?.unwrap_or(604_800),
                lifetime_secs: self.number(LIFETIME, 1..=34_560_000)?.unwrap_or(2_592_000),
            },
            allowed_origins: self
                .parsed(ALLOWED_ORIGINS, |text| origins(text, read_url))?
                .unwrap_or_default(),
            trusted_proxies: self.parsed(TRUSTED_PROXIES, networks)?.unwrap_or_default(),
            monitors: self.parsed(MONITORS, networks)?.unwrap_or_default(),
            log_level: self.parsed(LOG_LEVEL, log_level)?,
            allow_plain_http,
            max_connections: self.number(MAX_CONNECTIONS, 16..=65_536)?.unwrap_or(1024),
            max_connections_per_address: self.number(MAX_CONNECTIONS_PER_ADDRESS, 1..=65_536)?.unwrap_or(256),
            password_chars_min: self
                .number(PASSWORD_MIN_CHARS, PASSWORD_CHARS_MIN_RANGE)?
                .unwrap_or(PASSWORD_CHARS_MIN),
            argon2_slots: self.number(ARGON2_SLOTS, 1..=64)?.unwrap_or_else(cores),
            argon2_profile: self.parsed(ARGON2_PROFILE, profile)?.unwrap_or(Profile::Standard),
            data,
            key_file,
        })
    }

    /// Each setting with the value in force and where it came from, for `check`.
    pub fn report(&self) -> impl Iterator<Item = (&'static Setting, &str, &str)> {
        SETTINGS.iter().map(|setting| match self.values.get(setting.name) {
            Some((value, source)) => (setting, value.as_str(), source.text.as_str()),
            None => (setting, setting.default, "default"),
        })
    }

    /// What a server that listens at `listening` has in force.
    pub fn in_force(&self, listening: SocketAddr, findings: Vec<Finding>) -> InForce {
        InForce {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listening: listening.to_string(),
            settings: self
                .report()
                .map(|(setting, value, _)| (setting.name.to_owned(), value.to_owned()))
                .collect(),
            findings,
        }
    }

    /// Variables that were ignored because an orchestrator sets them.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The port that a platform asks to listen on, when nothing says where to listen.
    pub fn unheard_port(&self) -> Option<&str> {
        self.platform_port.as_deref().filter(|_| !self.values.contains_key(LISTEN))
    }

    fn value(&self, name: &'static str) -> Option<&str> {
        self.values.get(name).map(|(value, _)| value.as_str())
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let Some((value, source)) = self.values.get(name) else { return Ok(None) };
        match parse(value) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(reason) => {
                Err(SettingError(format!("{} is `{value}`{}: {reason}", source.text, source.place())))
            }
        }
    }

    fn number<T: FromStr + PartialOrd + fmt::Display>(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, SettingError> {
        self.parsed(name, |text| match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("it has to be a whole number from {} to {}", range.start(), range.end())),
        })
    }
}

/// The setting that a name, which is none, may have been meant to be.
fn meant_by(name: &str) -> Option<&'static str> {
    /// Less alike than this, and it is a guess.
    const LIKENESS_MIN: f64 = 0.75;
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_uppercase();
    let bare_name = bare(name);
    match bare_name.as_str() {
        "PORT" | "HOST" | "ADDRESS" | "ADDR" | "BIND" => return Some(LISTEN),
        "URL" | "BASE_URL" | "EXTERNAL_URL" => return Some(PUBLIC_URL),
        "LOG" => return Some(LOG_LEVEL),
        _ => {}
    }
    let likeness = |known: &Setting| strsim::jaro_winkler(&bare_name, &bare(known.name));
    let all = SETTINGS.iter().map(|known| (likeness(known), known.name));
    let (likeness, name) = all.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (likeness >= LIKENESS_MIN).then_some(name)
}

/// What is wrong with the settings, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingError(String);

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingError {}
