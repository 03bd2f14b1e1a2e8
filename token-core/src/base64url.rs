//! Strict base64url without padding (RFC 4648 §5, RFC 7515 §2) for what is public: headers and payloads.
//!
//! A server looks four characters up at once; a device computes one after the other, in a small loop. Tags and refresh
//! tokens go through `base64ct`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Marks a byte outside the alphabet, as no sextet is marked.
const INVALID: u8 = 0x80;

/// Why a text was not decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DecodeError {
    /// Not the one canonical encoding of any bytes.
    Invalid,
    /// The output buffer is too small.
    BufferTooSmall,
}

/// How many characters `len` bytes become.
pub(crate) const fn encoded_len(len: usize) -> usize {
    let tail = len % 3;
    (len / 3).saturating_mul(4).saturating_add(if tail == 0 { 0 } else { tail + 1 })
}

/// How many bytes `len` characters become; of the impossible lengths, how many the next shorter one does.
pub(crate) const fn decoded_len(len: usize) -> usize {
    let tail = len % 4;
    len / 4 * 3 + tail.saturating_sub(1)
}

/// Encodes the first `len` bytes of `buffer` in place and returns how many characters they became.
///
/// Works from the back: the characters of a chunk only cover bytes that have been read by then.
pub(crate) fn encode_in_place(buffer: &mut [u8], len: usize) -> Option<usize> {
    if crate::HAS_ROOM { encode_by::<12, 16>(buffer, len) } else { encode_by::<3, 4>(buffer, len) }
}

/// Encodes so many bytes at a time, which become so many characters.
fn encode_by<const RAW: usize, const TEXT: usize>(buffer: &mut [u8], len: usize) -> Option<usize> {
    let encoded_len = encoded_len(len);
    let buffer = buffer.get_mut(..encoded_len)?;
    let chunks = len / RAW;
    let mut raw = [0; RAW];
    copy(buffer.get(..len)?.get(chunks * RAW..)?, &mut raw);
    let mut text = [0; TEXT];
    encode_chunk(raw, &mut text);
    copy(&text, buffer.get_mut(chunks * TEXT..)?);
    for chunk in (0..chunks).rev() {
        let raw = *buffer.get(chunk * RAW..)?.first_chunk::<RAW>()?;
        encode_chunk(raw, buffer.get_mut(chunk * TEXT..)?.first_chunk_mut::<TEXT>()?);
    }
    Some(encoded_len)
}

/// Decodes all of `text` into the front of `out` and returns how many bytes it became.
///
/// Padding, whitespace, other alphabets and stray low bits in the last character are all refused, so two different
/// texts never decode to the same bytes.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    decode_after(if crate::HAS_ROOM { text.len() / 4 } else { 0 }, text, out)
}

/// Decodes so many groups of four characters by table, and what comes after them one by one.
fn decode_after(quads: usize, text: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let len = decoded_len(text.len());
    let out = out.get_mut(..len).ok_or(DecodeError::BufferTooSmall)?;
    let (front, text) = text.split_at_checked(quads * 4).unwrap_or_default();
    let (front_out, out) = out.split_at_mut_checked(quads * 3).unwrap_or_default();
    let mut seen = 0;
    for (&[a, b, c, d], place) in front.as_chunks().0.iter().zip(front_out.as_chunks_mut().0) {
        let [at_a, at_b, at_c, at_d] = &TABLES;
        let word = at_a[a as usize] | at_b[b as usize] | at_c[c as usize] | at_d[d as usize];
        let [bytes @ .., mark] = word.to_be_bytes();
        *place = bytes;
        seen |= mark;
    }
    let mut places = out.iter_mut();
    let (mut bits, mut bits_len) = (0_u32, 0);
    for &character in text {
        let sextet = sextet(character);
        seen |= sextet;
        bits = bits << 6 | u32::from(sextet);
        bits_len += 6;
        if bits_len >= 8 {
            bits_len -= 8;
            if let Some(place) = places.next() {
                *place = (bits >> bits_len) as u8;
            }
        }
    }
    // No character is left over, and of no character a bit that is not zero.
    let is_canonical = bits_len < 6 && bits & ((1 << bits_len) - 1) == 0;
    if is_canonical && seen & INVALID == 0 { Ok(len) } else { Err(DecodeError::Invalid) }
}

/// As many bytes as there are in both.
fn copy(from: &[u8], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

fn encode_chunk<const RAW: usize, const TEXT: usize>(raw: [u8; RAW], text: &mut [u8; TEXT]) {
    for (&[a, b, c], quad) in raw.as_chunks().0.iter().zip(text.as_chunks_mut::<4>().0) {
        let mut word = u32::from_be_bytes([a, b, c, 0]);
        for place in quad {
            word = word.rotate_left(6);
            *place = ALPHABET[word as usize & 0x3F];
        }
    }
}

/// What a character stands for, or [`INVALID`].
const fn sextet(character: u8) -> u8 {
    match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => INVALID,
    }
}

/// For each place in a group of four, what every character adds to the three bytes, and a mark after them.
///
/// Four kilobytes for a server, of which a token touches a third; not referred to, and so not there, on a device.
static TABLES: [[u32; 256]; 4] = [table(0), table(1), table(2), table(3)];

const fn table(place: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut character = 0;
    while character < 256 {
        table[character] = match sextet(character as u8) {
            INVALID => INVALID as u32,
            sextet => (sextet as u32) << (26 - 6 * place),
        };
        character += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use proptest::prelude::*;

    use super::*;

    /// By table as far as it goes, and by table nowhere, as on a device.
    fn decode_both_ways(text: &[u8]) -> Option<Vec<u8>> {
        let [by_table, one_by_one] = [text.len() / 4, 0].map(|quads| {
            let mut out = vec![0; text.len()];
            decode_after(quads, text, &mut out).ok().map(|len| out[..len].to_vec())
        });
        assert_eq!(by_table, one_by_one, "{text:?}");
        by_table
    }

    fn decode_by_base64ct(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; text.len()];
        Base64UrlUnpadded::decode(text, &mut out).ok().map(<[u8]>::to_vec)
    }

    #[test]
    fn every_text_of_up_to_two_bytes_and_every_last_character_is_judged_as_by_base64ct() {
        assert_eq!(decode_both_ways(b""), decode_by_base64ct(b""));
        for first in 0..=u8::MAX {
            assert_eq!(decode_both_ways(&[first]), None);
            for second in 0..=u8::MAX {
                for text in [&[first, second][..], &[b'A', first, second], &[b'A', b'A', first, second]] {
                    assert_eq!(decode_both_ways(text), decode_by_base64ct(text), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn one_wrong_character_is_found_at_every_place() {
        for at in 0..40 {
            let mut text = [b'A'; 40];
            assert!(decode_both_ways(&text).is_some());
            text[at] = b'=';
            assert_eq!(decode_both_ways(&text), None, "{at}");
        }
    }

    #[test]
    fn the_buffer_is_used_to_its_last_byte_and_the_rest_left_alone() {
        let mut out = [9; 5];
        assert_eq!(decode(b"AQIDBA", &mut out), Ok(4));
        assert_eq!(out, [1, 2, 3, 4, 9]);
        assert_eq!(decode(b"AQIDBA", &mut [0; 3]), Err(DecodeError::BufferTooSmall));
        let mut buffer = *b"abc.";
        assert_eq!(encode_in_place(&mut buffer, 3), Some(4));
        assert_eq!(&buffer, b"YWJj");
        assert_eq!(encode_in_place(&mut buffer[..3], 3), None);
    }

    proptest! {
        #[test]
        fn encoding_is_that_of_base64ct(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut expected = vec![0; 300];
            let expected = Base64UrlUnpadded::encode(&bytes, &mut expected).unwrap();
            let mut buffer = bytes.clone();
            buffer.resize(encoded_len(bytes.len()), 0);
            let mut buffer_of_device = buffer.clone();
            prop_assert_eq!(encode_by::<12, 16>(&mut buffer, bytes.len()), Some(expected.len()));
            prop_assert_eq!(&buffer, expected.as_bytes());
            prop_assert_eq!(encode_by::<3, 4>(&mut buffer_of_device, bytes.len()), Some(expected.len()));
            prop_assert_eq!(&buffer_of_device, expected.as_bytes());
            prop_assert_eq!(decoded_len(buffer.len()), bytes.len());
            prop_assert_eq!(decode_both_ways(&buffer), Some(bytes));
        }

        #[test]
        fn decoding_is_that_of_base64ct(text in prop_oneof!["[A-Za-z0-9_-]{0,40}", "[A-Za-z0-9_+/=. -]{0,12}", "\\PC{0,12}"]) {
            prop_assert_eq!(decode_both_ways(text.as_bytes()), decode_by_base64ct(text.as_bytes()));
        }

        #[test]
        fn decoding_bytes_is_that_of_base64ct(text in prop::collection::vec(any::<u8>(), 0..16)) {
            prop_assert_eq!(decode_both_ways(&text), decode_by_base64ct(&text));
        }
    }
}
