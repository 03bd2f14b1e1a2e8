//! The body of a request as it came: of a length told beforehand, or in chunks (RFC 9112 §7.1), which are read strictly.
//!
//! Chunks are not copied together here: the body may hold a password, and whoever takes it on writes it piece by piece.

use std::iter;

use super::parse::{FIELDS_MAX, Refusal, check_lines};
use crate::api::BODY_LEN_MAX;

/// Most bytes of a body in chunks, with all that is no content: sizes, line ends, extensions, trailers. A body of
/// [`BODY_LEN_MAX`] in chunks of a few bytes does not fit, one in chunks as clients send them does.
pub const CHUNKED_LEN_MAX: usize = BODY_LEN_MAX + (8 << 10);

/// Longest line with the size of a chunk in bytes, its line end included. Extensions are read and ignored (RFC 9112
/// §7.1.1), as long as they are short.
const SIZE_LINE_LEN_MAX: usize = 256;

/// Largest trailer section in bytes. Trailers are read and dropped (RFC 9112 §7.1.2).
const TRAILERS_LEN_MAX: usize = 1 << 10;

/// How the end of a body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// By a Content-Length, or by neither field, which means none (RFC 9112 §6.3).
    Length(usize),
    /// By the last chunk.
    Chunks,
}

/// A body that is whole and within the limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Body<'a> {
    framing: Framing,
    raw: &'a [u8],
}

impl<'a> Body<'a> {
    /// Reads the body that `bytes` begin with; `None` when it is not there whole.
    pub(super) fn read(bytes: &'a [u8], framing: Framing) -> Result<Option<Self>, Refusal> {
        let raw = match framing {
            Framing::Length(len) => bytes.get(..len),
            Framing::Chunks => {
                let within_limit = &bytes[..bytes.len().min(CHUNKED_LEN_MAX)];
                match chunked_len(within_limit)? {
                    None if bytes.len() >= CHUNKED_LEN_MAX => return Err(Refusal::BodyTooLarge),
                    len => len.and_then(|len| bytes.get(..len)),
                }
            }
        };
        Ok(raw.map(|raw| Self { framing, raw }))
    }

    /// Bytes of the client's that it takes up.
    pub(super) fn raw_len(self) -> usize {
        self.raw.len()
    }

    /// The content, in pieces as it came.
    pub fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.raw;
        iter::from_fn(move || match self.framing {
            Framing::Length(_) => Some(std::mem::take(&mut rest)),
            // It was read once without an error.
            Framing::Chunks => {
                let chunk = next_chunk(rest).ok()??;
                rest = chunk.rest;
                Some(chunk.content)
            }
        })
        .take_while(|piece| !piece.is_empty())
    }

    /// The content in one piece, for tests and fuzz targets.
    pub fn to_vec(self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

/// How long the body in chunks is that `bytes` begin with; `None` when it is not there whole.
fn chunked_len(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let (mut rest, mut content_len) = (bytes, 0);
    while let Some(Chunk { content, rest: after }) = next_chunk(rest)? {
        content_len += content.len();
        if content_len > BODY_LEN_MAX {
            return Err(Refusal::BodyTooLarge);
        }
        rest = after;
        if content.is_empty() {
            return Ok(trailers_len(rest)?.map(|len| bytes.len() - rest.len() + len));
        }
    }
    Ok(None)
}

/// A chunk, and what follows it. The last chunk has no content and ends with the line of its size.
struct Chunk<'a> {
    content: &'a [u8],
    rest: &'a [u8],
}

/// The first chunk; `None` when it is not there whole.
fn next_chunk(bytes: &[u8]) -> Result<Option<Chunk<'_>>, Refusal> {
    let Some((size, line_len)) = size_line(bytes)? else { return Ok(None) };
    let rest = &bytes[line_len..];
    if size == 0 {
        return Ok(Some(Chunk { content: &[], rest }));
    }
    let Some((content, end)) = rest.split_at_checked(size) else { return Ok(None) };
    if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
        return Err(Refusal::Malformed("a chunk is longer or shorter than its size"));
    }
    Ok(end.get(2..).map(|rest| Chunk { content, rest }))
}

/// The size of a chunk, and how long the line is that tells it; `None` when the line is not there whole.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, usize)>, Refusal> {
    const MALFORMED: Refusal = Refusal::Malformed("the size of a chunk is malformed");
    let within_limit = &bytes[..bytes.len().min(SIZE_LINE_LEN_MAX)];
    let digits = within_limit.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let (mut size, mut digits_len) = (0_usize, 0);
    for digit in digits {
        let digit = char::from(*digit).to_digit(16).unwrap_or_default() as usize;
        (size, digits_len) = (size.saturating_mul(16).saturating_add(digit), digits_len + 1);
    }
    // Told before its content comes.
    if size > BODY_LEN_MAX {
        return Err(Refusal::BodyTooLarge);
    }
    let after_digits = &within_limit[digits_len..];
    if !after_digits.is_empty() && digits_len == 0 {
        return Err(MALFORMED);
    }
    let extension_len = extension_len(after_digits)?;
    match &after_digits[extension_len..] {
        [b'\r', b'\n', ..] => Ok(Some((size, digits_len + extension_len + 2))),
        [] | [b'\r'] if within_limit.len() < SIZE_LINE_LEN_MAX => Ok(None),
        [] | [b'\r'] => Err(Refusal::Malformed("the line with the size of a chunk is too long")),
        _ => Err(MALFORMED),
    }
}

/// How long the extensions of a chunk are: white space and a semicolon, then visible ASCII and white space. A bare CR or
/// LF among them is where other readers would see the end of the line.
fn extension_len(bytes: &[u8]) -> Result<usize, Refusal> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let space_len = bytes.iter().take_while(|byte| is_space(byte)).count();
    match bytes.get(space_len) {
        Some(b';') => Ok(bytes.iter().take_while(|byte| byte.is_ascii_graphic() || is_space(byte)).count()),
        Some(_) if space_len > 0 => Err(Refusal::Malformed("the size of a chunk is malformed")),
        _ => Ok(space_len),
    }
}

/// How long the trailer section is, the empty line at its end included; `None` when it is not there whole.
fn trailers_len(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let within_limit = &bytes[..bytes.len().min(TRAILERS_LEN_MAX)];
    let end = memchr::memmem::find(within_limit, b"\r\n\r\n").map(|at| at + 4);
    let trailers = &within_limit[..end.unwrap_or(within_limit.len())];
    check_lines(trailers)?;
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(trailers, &mut room) {
        Ok(_) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
        Err(_) => return Err(Refusal::Malformed("a trailer field is malformed")),
    }
    match end {
        None if bytes.len() >= TRAILERS_LEN_MAX => Err(Refusal::Malformed("the trailers are too long")),
        end => Ok(end),
    }
}

#[cfg(test)]
mod tests;
