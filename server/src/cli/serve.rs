//! `latchkey serve`: puts the parts together, says how to go on, and ends them in order.

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Failure, exit, output::Form, perform, program_name};
use crate::api::{App, Routes, TokenTerms};
use crate::clock::Clock;
use crate::control::Control;
use crate::cookie::RefreshCookie;
use crate::day::Day;
use crate::findings::{Finding, findings};
use crate::folder::{self, Opened};
use crate::gate::{Gate, Limits};
use crate::hasher::Hasher;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::one_time_code::{self, Purpose};
use crate::settings::{Given, InForce, Settings};
use crate::site::PublicUrl;
use crate::sweeper::Sweeper;
use crate::throttle::Throttle;

/// Descriptors kept for the store, the key file, commands, the log, and the pipes of two lanes.
const DESCRIPTORS_OF_OURS: usize = 48;

/// Descriptors of a pipe: our end, and two of tiny_http's.
const DESCRIPTORS_PER_PIPE: usize = 3;

/// Why the server stops.
enum Stop {
    Signal,
    StoreFailed,
    GateFailed,
}

pub(super) fn serve(given: &Given, settings: &Settings, routes: Routes, form: Form) -> Result<(), Failure> {
    let listener = TcpListener::bind(settings.listen).map_err(|error| listen_failure(settings, &error))?;
    let address = listener.local_addr()?;
    if !Control::fits(&settings.data) {
        return Err(
            "the path of the data folder is too long for a socket in it; choose a shorter one with --data"
                .into(),
        );
    }
    let (stop, stopped) = mpsc::channel();
    stop_on_signals(stop.clone())?;

    let is_new = !folder::exists(settings);
    let store_failed = stop.clone();
    let opened = perform::open_folder(settings, move |error| {
        log::error!("{error}");
        // The receiver lives as long as the server does.
        let _ = store_failed.send(Stop::StoreFailed);
    })?;
    let in_force = given.in_force(address, findings(given, settings));
    in_force.findings.iter().for_each(Finding::log);
    let app = Arc::new(assemble(settings, opened, in_force, address, routes)?);
    app.check_token_room()
        .map_err(|_| "LATCHKEY_ISSUER and LATCHKEY_AUDIENCE are too long for a token together")?;
    warn_of_clock(&app);

    let control = Control::start(&settings.data, Arc::clone(&app))
        .map_err(|error| format!("no control socket can be made in {}: {error}", settings.data.display()))?;
    let sweeper = Sweeper::start(Arc::clone(&app))?;
    let gate_failed = move || {
        let _ = stop.send(Stop::GateFailed);
    };
    let gate = Gate::start(listener, &settings.data, &app, limits(settings), gate_failed)
        .map_err(|error| format!("the gate cannot be opened: {error}"))?;
    if let Err(error) = greet(&Greeting::new(settings, &app, address, is_new)?, form) {
        // Whoever started the server does not listen to it. Its clients are served all the same.
        log::warn!(
            "standard output cannot be written to ({error}), so nobody reads where the server is; it listens on \
             http://{address}; `latchkey user add` makes the first user without a link"
        );
    }

    let reason = stopped.recv();
    log::info!("stopping");
    drop(control);
    gate.stop();
    drop(sweeper);
    // The last handle, unless a client hung: dropping it writes what still waits and closes the store.
    drop(app);
    match reason {
        Ok(Stop::StoreFailed) => Err(Failure {
            message: "the store has failed; look at the disk, then start again: nothing acknowledged is lost"
                .to_owned(),
            code: exit::STORE_FAILED,
        }),
        Ok(Stop::GateFailed) => Err("the gate has failed, which is a bug; the log says how".into()),
        Ok(Stop::Signal) | Err(_) => Ok(()),
    }
}

/// The limits of the gate, within what the operating system lets a process open.
fn limits(settings: &Settings) -> Limits {
    let descriptors = raise_descriptor_limit();
    let ours = DESCRIPTORS_OF_OURS + DESCRIPTORS_PER_PIPE * settings.argon2_slots;
    let connections = settings.max_connections.min(descriptors.saturating_sub(ours).max(1));
    if connections < settings.max_connections {
        log::warn!(
            "the limit of {descriptors} open files leaves room for {connections} connections; raise it with \
             `ulimit -n` or lower LATCHKEY_MAX_CONNECTIONS"
        );
    }
    Limits {
        connections,
        connections_per_address: settings.max_connections_per_address,
        trusted_proxies: settings.trusted_proxies.clone(),
        log_ins: settings.argon2_slots,
        waiting_log_ins: Hasher::capacity(settings.argon2_slots) - settings.argon2_slots,
    }
}

/// Raises the soft limit of open files to the hard one; returns the limit in force.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let in_force = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    in_force.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX))
}

fn assemble(
    settings: &Settings,
    opened: Opened,
    in_force: InForce,
    address: SocketAddr,
    routes: Routes,
) -> Result<App, Failure> {
    let public_url = settings.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(address));
    let issuer = settings.issuer.clone().unwrap_or_else(|| public_url.as_str().to_owned());
    let audience = settings.audience.clone().unwrap_or_else(|| issuer.clone());
    let clock = Clock::starting_at(opened.store.highest_time_seen()?);
    let started = clock.now();
    Ok(App {
        clock,
        store: opened.store,
        keys: KeyRing::new(settings.key_file.clone(), opened.keys),
        hasher: Hasher::new(settings.argon2_slots, settings.argon2_profile),
        password_chars_min: settings.password_chars_min,
        policy: settings.policy,
        tokens: TokenTerms { issuer, audience, access_ttl_secs: settings.access_ttl_secs },
        cookie: RefreshCookie::new(&public_url),
        public_url,
        allowed_origins: settings.allowed_origins.clone(),
        throttle: Throttle::default(),
        metrics: Arc::new(Metrics::default()),
        day: Day::starting_at(started.system),
        routes,
        monitors: settings.monitors.clone(),
        notices: Arc::default(),
        in_force,
    })
}

fn listen_failure(settings: &Settings, error: &io::Error) -> Failure {
    let address = settings.listen;
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "the address {address} is in use; stop the program that listens there, or choose another with --listen"
        )
        .into(),
        io::ErrorKind::PermissionDenied => {
            format!("no permission to listen on {address}; choose a port above 1023 with --listen").into()
        }
        _ => format!("cannot listen on {address}: {error}").into(),
    }
}

/// The first signal asks to stop, the second ends the process.
fn stop_on_signals(stop: Sender<Stop>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            if asked || stop.send(Stop::Signal).is_err() {
                std::process::exit(128 + signal);
            }
            asked = true;
        }
    })?;
    Ok(())
}

fn warn_of_clock(app: &App) {
    if app.is_clock_behind() {
        log::warn!(
            "the system clock is {} s behind the time this store has seen, which goes on; if the clock is right, \
             `latchkey clock accept` goes back to it and ends all sessions",
            app.clock.lead_secs()
        );
    }
}

/// What the person who started the server wants to know.
#[derive(Serialize)]
struct Greeting {
    listening: String,
    page: String,
    data: PathBuf,
    /// Whether the store was just made.
    is_new: bool,
    /// Where the first administrator chooses a password, while there is nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_up: Option<String>,
}

impl Greeting {
    fn new(settings: &Settings, app: &App, address: SocketAddr, is_new: bool) -> Result<Self, Failure> {
        let (has_users, era) = app.store.read(|reads| Ok((reads.has_users()?, reads.era()?)))?;
        let link = || {
            let keys = app.keys.current();
            let (code, _) = keys.signing_code_key().issue(era, Purpose::SetUp, app.clock.now().system);
            format!("{}/#setup={code}", app.public_url)
        };
        Ok(Self {
            listening: format!("http://{address}"),
            page: format!("{}/", app.public_url),
            data: settings.data.clone(),
            is_new,
            set_up: (!has_users).then(link),
        })
    }
}

/// Says where the server is and what comes next. The first line is for scripts too.
fn greet(greeting: &Greeting, form: Form) -> io::Result<()> {
    let text = match form {
        Form::Json => serde_json::to_string(greeting)? + "\n",
        Form::Text => greeting.to_string(),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listening, page, data, is_new, set_up } = self;
        let (program, data) = (program_name(), data.display());
        writeln!(f, "latchkey {} listening on {listening}", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  page   {page}")?;
        writeln!(f, "  data   {data}{}", if *is_new { " (just made)" } else { "" })?;
        if let Some(link) = set_up {
            let minutes = one_time_code::LIFE_SECS / 60;
            writeln!(
                f,
                "\nNobody can sign in yet. Open this within {minutes} minutes, and choose name and password:"
            )?;
            writeln!(f, "  {link}")?;
            writeln!(f, "or add the first user from another terminal:")?;
            writeln!(f, "  {program} user add YOUR_NAME --role admin --data '{data}'")?;
        }
        writeln!(f, "\nCtrl-C stops the server; `{program} --help` shows settings and commands.")
    }
}
