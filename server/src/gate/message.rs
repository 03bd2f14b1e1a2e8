//! What goes down a pipe to tiny_http: requests of several clients as the body of one request.
//!
//! tiny_http reads a head byte by byte and makes two channels, a reader and a writer for each request, but takes a body
//! in one go. So all requests that leave the gate together travel in one message:
//!
//! `POST / HTTP/1.1`, the length in six digits, an empty line, and then the body: the length of the padding in
//! two bytes, the padding, frames of requests ([`super::forward`]), the padding once more.

use std::ops::Range;

use super::wiped::Wiped;

const HEAD_START: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: ";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Digits of the length of a message.
const LENGTH_DIGITS: usize = 6;

const HEAD_LEN: usize = HEAD_START.len() + LENGTH_DIGITS + HEAD_END.len();

/// Padding around a request that may hold a password, so that no byte of it enters a buffer that we cannot wipe:
/// tiny_http's reader fetches up to 1024 bytes ahead, and reads a body of at most 1024 bytes into memory of its own.
const PADDING_LEN: usize = 1024;

/// Bytes of the field that tells the length of the padding.
const PADDING_FIELD_LEN: usize = 2;

/// A message takes on no further request beyond this length, so that work on the first does not wait for too many others.
const LEN_TO_SEND: usize = 16 << 10;

const _: () = assert!(
    LEN_TO_SEND + super::forward::FRAME_LEN_MAX + 2 * PADDING_LEN < 10_usize.pow(LENGTH_DIGITS as u32)
);

/// Whether a message has a password in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// It may have one, and is padded.
    Secret,
    /// It has none.
    Ordinary,
}

/// A message that is being written at the end of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    start: usize,
    padding_len: usize,
}

impl Open {
    /// Begins a message at the end of `out`.
    pub fn begin(content: Content, out: &mut Wiped) -> Self {
        let start = out.len();
        let padding_len = if content == Content::Secret { PADDING_LEN } else { 0 };
        for part in [HEAD_START, &[b'0'; LENGTH_DIGITS], HEAD_END, &(padding_len as u16).to_be_bytes()] {
            out.extend(part);
        }
        out.resize(out.len() + padding_len);
        Self { start, padding_len }
    }

    /// Whether it takes on another request.
    pub fn has_room_in(&self, out: &Wiped) -> bool {
        self.padding_len == 0 && out.len() - self.start < LEN_TO_SEND
    }

    /// Completes it; it ends where `out` does.
    pub fn seal(self, out: &mut Wiped) {
        out.resize(out.len() + self.padding_len);
        let len = out.len() - self.start - HEAD_LEN;
        let digits = self.start + HEAD_START.len();
        out.as_mut_slice()[digits..digits + LENGTH_DIGITS]
            .copy_from_slice(format!("{len:0LENGTH_DIGITS$}").as_bytes());
    }
}

/// Where in the body of a message its requests are; `None` when it is no message.
pub fn frames(body: &[u8]) -> Option<Range<usize>> {
    let padding_len = usize::from(u16::from_be_bytes(*body.first_chunk::<PADDING_FIELD_LEN>()?));
    let frames = PADDING_FIELD_LEN + padding_len..body.len().checked_sub(padding_len)?;
    (frames.start <= frames.end).then_some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: Content, frames: &[&[u8]]) -> Wiped {
        let mut out = Wiped::default();
        out.extend(b"what was there before");
        let start = out.len();
        let open = Open::begin(content, &mut out);
        frames.iter().for_each(|frame| out.extend(frame));
        open.seal(&mut out);
        out.consume(start);
        out
    }

    fn body(message: &[u8]) -> &[u8] {
        &message[memchr::memmem::find(message, HEAD_END).unwrap() + HEAD_END.len()..]
    }

    #[test]
    fn a_message_is_one_request_whose_body_are_the_frames() {
        let message = message(Content::Ordinary, &[b"one", b"two"]);
        assert_eq!(&*message, b"POST / HTTP/1.1\r\ncontent-length: 000008\r\n\r\n\0\0onetwo");
        let body = body(&message);
        assert_eq!(&body[frames(body).unwrap()], b"onetwo");
    }

    #[test]
    fn a_secret_stands_between_more_bytes_than_tiny_http_reads_ahead() {
        let message = message(Content::Secret, &[b"password"]);
        let at = memchr::memmem::find(&message, b"password").unwrap();
        assert!(at - HEAD_LEN > 1024 && message.len() - at - 8 >= 1024);
        let body = body(&message);
        assert_eq!(&body[frames(body).unwrap()], b"password");
    }

    #[test]
    fn a_message_with_a_secret_or_many_bytes_takes_on_no_more() {
        let mut out = Wiped::default();
        assert!(!Open::begin(Content::Secret, &mut out).has_room_in(&out));
        let open = Open::begin(Content::Ordinary, &mut out);
        assert!(open.has_room_in(&out));
        out.resize(out.len() + LEN_TO_SEND);
        assert!(!open.has_room_in(&out));
    }

    #[test]
    fn what_is_no_message_has_no_frames() {
        for bad in [&b""[..], b"\0", b"\0\x01", b"\0\x02abc"] {
            assert_eq!(frames(bad), None, "{bad:?}");
        }
        assert_eq!(frames(b"\0\x01ab"), Some(3..3));
    }
}
