//! The release binary under load beside axum and NestJS servers, and what a million sessions cost.

mod disk;
mod load;
mod million;
mod peer;
mod plot;
mod process;
mod rounds;
mod servers;
mod table;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use load::Workload;
use rounds::Side;
use servers::Server;

type Failure = Box<dyn Error>;

const USAGE: &str =
    "usage: latchkey-benches-load [load | million] [--latchkey PROGRAM] [--folder FOLDER] [--plot FILE]

  load                 requests a second of 1, 16, 64 and 256 clients, Latchkey beside axum and NestJS
  million              what a million sessions cost
  --latchkey PROGRAM   the server [default: built from this checkout]
  --folder FOLDER      a folder on a disk, for throw-away stores [default: beside this program]
  --plot FILE          draws requests a second of processor time for GET /api/me, as SVG";

/// The numbers of clients, in the order of their rows.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What the others start as processes of their own.
        ["peer", database] => return peer::serve(Path::new(database)),
        ["fill", store] => return million::fill(Path::new(store)),
        ["visit", store] => return million::visit(Path::new(store)),
        _ => {}
    }
    let Wanted { load: wants_load, million: wants_million, program, folder, plot } = Wanted::parse(&words)?;
    let program = program.map_or_else(build_latchkey, |program| Ok(program.canonicalize()?))?;
    let beside = env::current_exe()?.parent().ok_or("a program without a folder")?.to_owned();
    let folder = folder.unwrap_or(beside);
    let kind = disk::file_system_of(&folder)?;
    // Short, because the path of a socket has to fit 108 bytes.
    let own_folder = || tempfile::Builder::new().prefix("load-").tempdir_in(&folder);

    let sync_time = disk::sync_time(own_folder()?.path())?;
    println!("On {kind}, where 4 KiB are safe after {:.2} ms.", sync_time.as_secs_f64() * 1e3);
    if wants_load {
        load(&program, own_folder()?.path(), plot.as_deref())?;
    }
    if wants_million {
        million::run(&program, own_folder()?.path())?;
    }
    Ok(())
}

fn load(program: &Path, folder: &Path, plot: Option<&Path>) -> Result<(), Failure> {
    let most = CLIENTS.into_iter().max().expect("the list is not empty");
    servers::add_users(program, folder, most)?;
    let servers =
        [Some(Server::latchkey(program, folder)?), Some(Server::axum(folder)?), Server::nest(folder)?];
    let mut sides = Vec::new();
    for server in servers.into_iter().flatten() {
        let sessions = server.open_sessions(most)?;
        sides.push(Side { server, sessions });
    }
    servers::leave_the_core()?;
    let mut bars = Vec::new();
    println!("All servers on one core, the load on the others, in turns, six of 1.5 seconds each.");
    for workload in Workload::ALL {
        // NestJS shows what verifying a token costs there; it keeps no sessions.
        let count = if workload == Workload::Me { sides.len() } else { sides.len().min(2) };
        table::print_head(workload.name());
        for clients in CLIENTS {
            let measured = rounds::run(&mut sides[..count], workload, clients)?;
            table::print(&measured);
            if workload == Workload::Me {
                bars.extend(measured.iter().map(plot::Bar::of));
            }
        }
    }
    if let Some(path) = plot {
        std::fs::write(path, plot::draw(&bars))?;
    }
    println!();
    for Side { server, .. } in &sides {
        let peak_mib = process::Memory::of(server.pid())?.peak_kib as f64 / 1024.0;
        println!("Peak RSS of {}: {peak_mib:.1} MiB.", server.name);
    }
    Ok(())
}

/// What the arguments ask for.
struct Wanted {
    load: bool,
    million: bool,
    program: Option<PathBuf>,
    folder: Option<PathBuf>,
    plot: Option<PathBuf>,
}

impl Wanted {
    fn parse(words: &[&str]) -> Result<Self, Failure> {
        let mut wanted = Self { load: true, million: true, program: None, folder: None, plot: None };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            match *word {
                "load" => wanted.million = false,
                "million" => wanted.load = false,
                "--latchkey" => wanted.program = Some(rest.next().ok_or(USAGE)?.into()),
                "--plot" => wanted.plot = Some(rest.next().ok_or(USAGE)?.into()),
                "--folder" => wanted.folder = Some(rest.next().ok_or(USAGE)?.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(wanted)
    }
}

/// Builds the release binary of the workspace; returns where it is.
fn build_latchkey() -> Result<PathBuf, Failure> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--bin", "latchkey", "--manifest-path", manifest])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()?;
    let messages = String::from_utf8(output.stdout)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "latchkey does not build".into())
}
