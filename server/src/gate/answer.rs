//! Answers as they cross a pipe, framed so that nobody has to understand them to know whose they are and where they end.
//!
//! A frame is the number of the request's ticket in eight bytes, the length of the answer's head and of all of it in four
//! each, and the bytes for the client, written by [`super::response`].

use super::response::{self, Unfit};
use crate::api::Response;

/// Bytes of a frame before the answer.
pub const FRAME_HEAD_LEN: usize = 8 + 4 + 4;

/// Longest answer in bytes. Ours have some ten thousand; a route of an application may have more.
pub const ANSWER_LEN_MAX: usize = 64 << 20;

/// A number that no ticket has: an end that has lost the thread says so, and the other fails.
const NO_NUMBER: u64 = u64::MAX;

/// Appends the frame of an answer to `out`, which stays as it was when the answer is [`Unfit`].
pub fn write(number: u64, response: &Response, is_to_head: bool, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_LEN]);
    let head_len = match response::write(response, is_to_head, out) {
        Ok(head_len) if out.len() - start <= ANSWER_LEN_MAX => head_len,
        answer => {
            out.truncate(start);
            return Err(answer.err().unwrap_or(Unfit("it is too long")));
        }
    };
    let len = out.len() - start - FRAME_HEAD_LEN;
    let frame_head = frame_head(number, head_len, len);
    out[start..start + FRAME_HEAD_LEN].copy_from_slice(&frame_head);
    Ok(())
}

/// Appends what stands in place of an answer: the request needs a password hashed, and was refused for nothing else.
pub fn write_needs_hashing(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&frame_head(number, 0, 0));
}

/// Appends what makes the gate give up: a message could not be read, so its requests will never be answered.
pub fn write_lost(out: &mut Vec<u8>) {
    out.extend_from_slice(&frame_head(NO_NUMBER, 0, 0));
}

fn frame_head(number: u64, head_len: usize, len: usize) -> [u8; FRAME_HEAD_LEN] {
    let mut head = [0; FRAME_HEAD_LEN];
    head[..8].copy_from_slice(&number.to_be_bytes());
    head[8..12].copy_from_slice(&(head_len as u32).to_be_bytes());
    head[12..].copy_from_slice(&(len as u32).to_be_bytes());
    head
}

/// How many bytes of an answer follow a frame's head.
pub fn len_behind(head: [u8; FRAME_HEAD_LEN]) -> usize {
    let [.., a, b, c, d] = head;
    u32::from_be_bytes([a, b, c, d]) as usize
}

/// What a lane says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict<'a> {
    /// This is the answer.
    Answered(Answer<'a>),
    /// It needs a password hashed.
    NeedsHashing,
}

/// An answer for a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer<'a> {
    bytes: &'a [u8],
    /// Where the empty line stands.
    head_len: usize,
}

/// A lane's bytes are no frame of ours, which would be a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Garbled;

/// A frame that is there whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame<'a> {
    /// The number of the ticket.
    pub(super) number: u64,
    pub(super) verdict: Verdict<'a>,
    /// How many bytes of the lane's it takes up.
    pub(super) len: usize,
}

impl<'a> Frame<'a> {
    /// Reads the frame that `bytes` begin with; `None` when it is not there whole.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Garbled> {
        let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_LEN>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *head;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let head_len = u32::from_be_bytes([i, j, k, l]) as usize;
        let len = u32::from_be_bytes([m, n, o, p]) as usize;
        if number == NO_NUMBER || head_len > len || len > ANSWER_LEN_MAX || (head_len == 0 && len > 0) {
            return Err(Garbled);
        }
        let Some(bytes) = rest.get(..len) else { return Ok(None) };
        let verdict =
            if len == 0 { Verdict::NeedsHashing } else { Verdict::Answered(Answer { bytes, head_len }) };
        Ok(Some(Self { number, verdict, len: FRAME_HEAD_LEN + len }))
    }
}

impl<'a> Answer<'a> {
    /// The bytes as they came, which is how they go to a client of HTTP/1.1 whose connection stays.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes with a field that says what becomes of the connection.
    pub(super) fn with_connection(&self, option: &str) -> Vec<u8> {
        let (head, rest) = self.bytes.split_at(self.head_len);
        [head, format!("Connection: {option}\r\n").as_bytes(), rest].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<u8> {
        let mut out = Vec::new();
        write(7, &Response::text("ok\n"), false, &mut out).unwrap();
        write(8, &Response::no_content(), false, &mut out).unwrap();
        out
    }

    #[test]
    fn answers_are_told_apart_and_carry_their_numbers() {
        let two = two();
        let first = Frame::read(&two).unwrap().unwrap();
        let second = Frame::read(&two[first.len..]).unwrap().unwrap();
        assert_eq!((first.number, second.number, first.len + second.len), (7, 8, two.len()));
        let Verdict::Answered(answer) = first.verdict else { panic!("{first:?}") };
        assert!(answer.bytes().starts_with(b"HTTP/1.1 200 ") && answer.bytes().ends_with(b"\r\n\r\nok\n"));
    }

    #[test]
    fn any_prefix_needs_more() {
        let two = two();
        for cut in 0..Frame::read(&two).unwrap().unwrap().len {
            assert_eq!(Frame::read(&two[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn the_connection_option_becomes_the_last_field() {
        let two = two();
        let Verdict::Answered(answer) = Frame::read(&two).unwrap().unwrap().verdict else {
            panic!("{two:?}")
        };
        assert!(
            answer.with_connection("close").ends_with(b"Content-Length: 3\r\nConnection: close\r\n\r\nok\n")
        );
    }

    #[test]
    fn a_request_that_needs_hashing_has_a_frame_without_an_answer() {
        let mut out = Vec::new();
        write_needs_hashing(9, &mut out);
        let frame = Frame::read(&out).unwrap().unwrap();
        assert_eq!((frame.number, frame.verdict, frame.len), (9, Verdict::NeedsHashing, FRAME_HEAD_LEN));
    }

    #[test]
    fn lengths_that_contradict_each_other_and_a_lost_end_are_garbled() {
        let mut lost = Vec::new();
        write_lost(&mut lost);
        for bad in [frame_head(1, 3, 2), frame_head(1, 0, 1), frame_head(1, 1, ANSWER_LEN_MAX + 1)] {
            assert_eq!(Frame::read(&bad), Err(Garbled), "{bad:?}");
        }
        assert_eq!(Frame::read(&lost), Err(Garbled));
    }

    #[test]
    fn an_answer_that_is_unfit_leaves_nothing_behind() {
        let mut out = two();
        let len = out.len();
        let unfit = Response::no_content().with("Vary", "a\r\nSet-Cookie: b");
        assert!(write(9, &unfit, false, &mut out).is_err());
        assert_eq!(out.len(), len);
    }
}
