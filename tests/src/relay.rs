//! Joins its standard input and output to a TCP address, for an emulator that has no network: `relay ADDRESS`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::{io, thread};

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).ok_or(io::ErrorKind::InvalidInput)?;
    let mut to_server = TcpStream::connect(address)?;
    let mut from_server = to_server.try_clone()?;
    thread::spawn(move || {
        let _ = copy(&mut io::stdin().lock(), &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    copy(&mut from_server, &mut io::stdout().lock())
}

/// Passes on at once whatever comes.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = [0; 2048];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(()),
            len => {
                to.write_all(&bytes[..len])?;
                to.flush()?;
            }
        }
    }
}
