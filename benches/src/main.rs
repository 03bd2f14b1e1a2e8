//! Signs and verifies one token with token-core and with other JWT libraries, and prints a table of what it costs.

mod candidates;
mod claims;
mod instructions;
mod rounds;
mod table;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "usage: latchkey-benches                time, in this process
       latchkey-benches instructions   instructions, each candidate in a process of its own under callgrind";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let candidates = candidates::all();
    match arguments.as_slice() {
        [] => table::print_times(&rounds::run(&candidates)),
        ["instructions"] => match instructions::count(&candidates) {
            Ok(counts) => table::print_instructions(&counts),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        },
        // What `instructions` starts under callgrind.
        ["repeat", index, times] => instructions::repeat(&candidates, index, times),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
