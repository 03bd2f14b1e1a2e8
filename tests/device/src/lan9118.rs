//! The LAN9118, an Ethernet controller behind FIFOs of 32 bits, as far as a device needs it.
//!
//! It is asked once a millisecond whether a frame has come, and has no interrupt of its own.

use core::task::Context;

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

/// The longest frame that is sent or taken: what every host must accept (RFC 791), and room for headers.
const FRAME_LEN_MAX: usize = 640;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

const BASE: usize = 0x4020_0000;
const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const TX_CONFIG: usize = 0x70;
const RX_FILL: usize = 0x7C;
const TX_FILL: usize = 0x80;
const MAC_COMMAND: usize = 0xA4;
const MAC_DATA: usize = 0xA8;

fn read(register: usize) -> u32 {
    // SAFETY: a register of the board's controller, which only this file touches.
    unsafe { ((BASE + register) as *const u32).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { ((BASE + register) as *mut u32).write_volatile(value) }
}

fn write_mac(register: u32, value: u32) {
    write(MAC_DATA, value);
    write(MAC_COMMAND, 1 << 31 | register);
}

/// The controller, with room for one frame each way.
pub struct Lan9118 {
    received: [u8; FRAME_LEN_MAX],
    sent: [u8; FRAME_LEN_MAX],
}

impl Lan9118 {
    /// Not yet started, so that it can be in a static.
    pub const fn new() -> Self {
        Self { received: [0; FRAME_LEN_MAX], sent: [0; FRAME_LEN_MAX] }
    }

    /// Begins to send and to take frames.
    pub fn start(&mut self) {
        let [a, b, c, d, e, f] = MAC;
        write_mac(2, u32::from_le_bytes([e, f, 0, 0]));
        write_mac(3, u32::from_le_bytes([a, b, c, d]));
        const FULL_DUPLEX: u32 = 1 << 20;
        const TRANSMIT_AND_RECEIVE: u32 = 0b1100;
        write_mac(1, FULL_DUPLEX | TRANSMIT_AND_RECEIVE);
        write(TX_CONFIG, 0b10);
    }

    /// Takes a frame out of the FIFO; one that is too long, or damaged, is left out.
    ///
    /// Not inlined into all of TCP/IP, where registers are few: that takes 350 bytes more.
    #[inline(never)]
    fn take(&mut self) -> Option<usize> {
        while read(RX_FILL) >> 16 & 0xFF != 0 {
            let status = read(RX_STATUS);
            // With four bytes of checksum.
            let len = (status >> 16 & 0x3FFF) as usize;
            let is_good = status & 1 << 15 == 0 && (4..=FRAME_LEN_MAX + 4).contains(&len);
            let mut words = self.received.as_chunks_mut().0.iter_mut();
            // A frame that is too long has to be taken, too: there is no other way to the next one.
            for _ in 0..len.div_ceil(4) {
                let word = read(RX_DATA);
                if let Some(to) = words.next() {
                    *to = word.to_le_bytes();
                }
            }
            if is_good {
                return Some(len - 4);
            }
        }
        None
    }
}

/// A frame that has come.
pub struct Received<'a>(&'a mut [u8]);

/// Room for a frame to send.
pub struct ToSend<'a>(&'a mut [u8; FRAME_LEN_MAX]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let len = len.min(FRAME_LEN_MAX);
        let result = fill(&mut self.0[..len]);
        send(self.0, len);
        result
    }
}

/// Sends the beginning of `frame`. Not generic like its caller, so that it is there once.
fn send(frame: &[u8; FRAME_LEN_MAX], len: usize) {
    const FIRST_AND_LAST: u32 = 0b11 << 12;
    write(TX_DATA, FIRST_AND_LAST | len as u32);
    write(TX_DATA, (len << 16 | len) as u32);
    for word in frame.as_chunks().0.iter().take(len.div_ceil(4)) {
        write(TX_DATA, u32::from_le_bytes(*word));
    }
    // How it went; TCP finds that out by itself.
    while read(TX_FILL) >> 16 & 0xFF != 0 {
        read(TX_STATUS);
    }
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Received<'_>, ToSend<'_>)> {
        let len = self.take()?;
        Some((Received(&mut self.received[..len]), ToSend(&mut self.sent)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<ToSend<'_>> {
        let room = (read(TX_FILL) & 0xFFFF) as usize;
        (room > FRAME_LEN_MAX + 8).then_some(ToSend(&mut self.sent))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_LEN_MAX;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(MAC)
    }
}
