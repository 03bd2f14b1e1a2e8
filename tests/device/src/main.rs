//! A device that signs in to a server, stays signed in while its access tokens expire, verifies one itself, and signs out.
//!
//! The emulator's host lends it what real boards have on them: random bytes, and a file with the secret that verifies
//! access tokens.
#![no_std]
#![no_main]

mod clock;
mod console;
mod lan9118;
mod stack;

use core::ffi::CStr;
use core::panic::PanicInfo;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use cortex_m_rt::entry;
use embassy_net::{Config, IpAddress, IpEndpoint, Stack, StackResources};
use embassy_time::{Duration, Timer};
use latchkey_client::embassy::{Buffers, Client, Error};
use semihosting::io::Read;
use semihosting::{fs::File, process};
use static_cell::ConstStaticCell;
use token_core::{Key, Verifier};

use crate::lan9118::Lan9118;

/// Where the emulator's network leads to the server.
const SERVER: IpEndpoint = IpEndpoint::new(IpAddress::v4(10, 0, 2, 100), 80);
const HOST: &str = "127.0.0.1";

/// Longer than an access token lives in the test: two seconds, and the one that its times are rounded by.
const PAUSE: Duration = Duration::from_millis(3500);
const ROUNDS: usize = 3;

static CONTROLLER: ConstStaticCell<Lan9118> = ConstStaticCell::new(Lan9118::new());
static SOCKETS: ConstStaticCell<StackResources<2>> = ConstStaticCell::new(StackResources::new());
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());

#[entry]
fn main() -> ! {
    stack::paint();
    if let Some(processor) = cortex_m::Peripherals::take() {
        clock::start(processor.SYST);
    }
    let controller = CONTROLLER.take();
    controller.start();
    let mut seed = [0; 16];
    random(&mut seed);
    let [a, b, c, d, e, f, g, h, ..] = seed;
    let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let (stack, mut runner) =
        embassy_net::new(controller, Config::dhcpv4(Default::default()), SOCKETS.take(), seed);
    let (mut network, mut life) = (pin!(runner.run()), pin!(live(stack)));
    let result = loop {
        let _ = ask(network.as_mut());
        if let Poll::Ready(result) = ask(life.as_mut()) {
            break result;
        }
        cortex_m::asm::wfi();
    };
    console::number("stack=", stack::used());
    match result {
        Ok(()) => process::exit(0),
        Err(error) => fail(error),
    }
}

/// Asks whether a task is done. Nobody needs waking: the clock's interrupt ends every sleep after a millisecond, and then
/// both are asked. Not inlined, since one function with everything in it is half a kilobyte larger.
#[inline(never)]
fn ask<T>(task: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    task.poll(&mut Context::from_waker(Waker::noop()))
}

/// The cycle: sign in, use, let the token expire, go on as if nothing had happened, sign out.
async fn live(stack: Stack<'static>) -> Result<(), Error> {
    stack.wait_config_up().await;
    console::line("has an address");
    let mut client = Client::new(stack, SERVER, HOST, BUFFERS.take(), (), random).reactive();
    client.login("device", "correct horse battery staple").await?;
    console::line("signed in");
    for _ in 0..ROUNDS {
        let status = client.get("/api/me").await?.status;
        console::number("asked: ", status.into());
        console::line(if verifies(client.access_token()) { "verified" } else { "not verified" });
        Timer::after(PAUSE).await;
    }
    client.logout().await?;
    console::line("signed out");
    match client.get("/api/me").await {
        Err(Error::SignedOut) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::NoAnswer),
    }
}

/// Whether a token is what the server signs, for this audience. Not inlined: see [`ask`].
#[inline(never)]
fn verifies(token: &str) -> bool {
    let mut secret = [0; 32];
    let mut buffer = [0; 384];
    if !read(c"access.key", &mut secret) {
        return false;
    }
    // A device without a clock of its own takes the time from elsewhere, or from the token's own `iat`.
    Key::new(&secret).and_then(|key| key.with_type("at+jwt")).and_then(|key| key.with_kid("1")).is_ok_and(
        |key| {
            let verifier = Verifier::new(core::slice::from_ref(&key)).issuer("latchkey").audience("devices");
            verifier.verify(token, 0, &mut buffer).is_ok_and(|claims| claims.session().is_some())
        },
    )
}

fn random(bytes: &mut [u8; 16]) {
    assert!(read(c"/dev/urandom", bytes), "a device without random bytes has no secrets");
}

/// Reads the beginning of a file of the emulator's host.
fn read(path: &CStr, bytes: &mut [u8]) -> bool {
    File::open(path).is_ok_and(|mut file| file.read_exact(bytes).is_ok())
}

fn fail(error: Error) -> ! {
    match error {
        Error::NoAnswer => console::line("no answer"),
        Error::Refused(status) => console::number("refused: ", status.into()),
        Error::SignedOut => console::line("signed out by the server"),
        _ => console::line("failed"),
    }
    process::exit(1)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(2)
}
