//! A device that signs in to a server, stays signed in while its access tokens expire, verifies one itself, and signs out.
//!
//! The emulator's host lends it what real boards have on them: random bytes, and a file with the secret that verifies
//! access tokens.
#![no_std]
#![no_main]

mod clock;
mod lan9118;
mod stack;

use core::panic::PanicInfo;

use embassy_executor::Spawner;
use embassy_net::{Config, IpAddress, IpEndpoint, Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use latchkey_client::embassy::{Buffers, Client, Error};
use semihosting::io::Read;
use semihosting::{fs::File, println, process};
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

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, &'static mut Lan9118>) {
    runner.run().await;
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
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
    let (stack, runner) =
        embassy_net::new(controller, Config::dhcpv4(Default::default()), SOCKETS.take(), seed);
    if let Ok(task) = network(runner) {
        spawner.spawn(task);
    }
    stack.wait_config_up().await;
    println!("has an address");
    let result = live(stack).await;
    println!("stack={}", stack::used());
    match result {
        Ok(()) => process::exit(0),
        Err(error) => fail(error),
    }
}

/// The cycle: sign in, use, let the token expire, go on as if nothing had happened, sign out.
async fn live(stack: Stack<'static>) -> Result<(), Error> {
    let mut client = Client::new(stack, SERVER, HOST, BUFFERS.take(), (), random).reactive();
    client.login("device", "correct horse battery staple").await?;
    println!("signed in");
    for _ in 0..ROUNDS {
        let status = client.get("/api/me").await?.status;
        println!("asked: {status}");
        println!("verified: {}", verifies(client.access_token()));
        Timer::after(PAUSE).await;
    }
    client.logout().await?;
    println!("signed out");
    match client.get("/api/me").await {
        Err(Error::SignedOut) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::NoAnswer),
    }
}

/// Whether a token is what the server signs, for this audience.
fn verifies(token: &str) -> bool {
    let mut secret = [0; 32];
    let mut buffer = [0; 384];
    if !File::open(c"access.key").is_ok_and(|mut file| file.read_exact(&mut secret).is_ok()) {
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
    let is_read = File::open(c"/dev/urandom").is_ok_and(|mut file| file.read_exact(bytes).is_ok());
    assert!(is_read);
}

fn fail(error: Error) -> ! {
    match error {
        Error::NoAnswer => println!("no answer"),
        Error::Refused(status) => println!("refused: {status}"),
        Error::SignedOut => println!("signed out by the server"),
        _ => println!("failed"),
    }
    process::exit(1)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(2)
}
