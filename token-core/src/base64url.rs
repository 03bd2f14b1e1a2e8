//! Strict base64url without padding (RFC 4648 §5, RFC 7515 §2) for what is public: headers and payloads.
//!
//! Characters are not looked up but computed, sixteen at a time, so that a server does it in wide registers and a device
//! in a small loop. Tags and refresh tokens go through `base64ct`.

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
    let encoded_len = encoded_len(len);
    let buffer = buffer.get_mut(..encoded_len)?;
    let chunks = len / 12;
    let mut raw = [0; 12];
    copy(buffer.get(..len)?.get(chunks * 12..)?, &mut raw);
    let mut text = [0; 16];
    encode_chunk(raw, &mut text);
    copy(&text, buffer.get_mut(chunks * 16..)?);
    for chunk in (0..chunks).rev() {
        let raw = *buffer.get(chunk * 12..)?.first_chunk()?;
        encode_chunk(raw, buffer.get_mut(chunk * 16..)?.first_chunk_mut()?);
    }
    Some(encoded_len)
}

/// Decodes all of `text` into the front of `out` and returns how many bytes it became.
///
/// Padding, whitespace, other alphabets and stray low bits in the last character are all refused, so two different
/// texts never decode to the same bytes.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> Result<usize, DecodeError> {
    let len = decoded_len(text.len());
    let out = out.get_mut(..len).ok_or(DecodeError::BufferTooSmall)?;
    let (chunks, last) = text.as_chunks();
    let (places, last_place) = out.as_chunks_mut();
    let mut is_valid = text.len() % 4 != 1;
    for (&chunk, place) in chunks.iter().zip(places) {
        is_valid &= decode_chunk(chunk, place);
    }
    // Filled up with zeros, the last characters stand for zeros beyond the end, or have stray bits.
    let mut chunk = [b'A'; 16];
    copy(last, &mut chunk);
    let mut raw = [0; 12];
    is_valid &= decode_chunk(chunk, &mut raw);
    copy(&raw, last_place);
    is_valid &= raw.iter().skip(last_place.len()).all(|&byte| byte == 0);
    if is_valid { Ok(len) } else { Err(DecodeError::Invalid) }
}

/// As many bytes as there are in both.
fn copy(from: &[u8], to: &mut [u8]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

fn encode_chunk(raw: [u8; 12], text: &mut [u8; 16]) {
    // Three words, read at once, are four times three bytes.
    let mut words = raw.as_chunks().0.iter().map(|&word| u32::from_be_bytes(word));
    let [a, b, c] = core::array::from_fn(|_| words.next().unwrap_or_default());
    for (word, quad) in
        [a >> 8, a << 16 | b >> 16, b << 8 | c >> 24, c].iter().zip(text.as_chunks_mut::<4>().0)
    {
        for (place, shift) in quad.iter_mut().zip([18, 12, 6, 0]) {
            *place = ALPHABET[(word >> shift) as usize & 0x3F];
        }
    }
}

/// Whether all characters are in the alphabet.
fn decode_chunk(text: [u8; 16], raw: &mut [u8; 12]) -> bool {
    let sextets = text.map(sextet);
    let mut seen = 0;
    for (&sextets, place) in sextets.as_chunks().0.iter().zip(raw.as_chunks_mut().0) {
        let word = u64::from_be_bytes(sextets);
        seen |= word;
        // Thrice: move every two neighbours together, of 6, of 12, and of 24 bits.
        let word = word & 0x003F_003F_003F_003F | word >> 2 & 0x0FC0_0FC0_0FC0_0FC0;
        let word = word & 0x0000_0FFF_0000_0FFF | word >> 4 & 0x00FF_F000_00FF_F000;
        let word = word & 0x0000_0000_00FF_FFFF | word >> 8 & 0x0000_FFFF_FF00_0000;
        let [_, _, bytes @ ..] = word.to_be_bytes();
        *place = bytes;
    }
    seen & u64::from_ne_bytes([INVALID; 8]) == 0
}

/// Without a branch, so that it is the same work for sixteen as for one. What is in no range stays zero, and one less
/// than that has the bit of [`INVALID`].
fn sextet(character: u8) -> u8 {
    let within = |first, last, value: u8| {
        let place = character.wrapping_sub(first);
        if place <= last - first { place.wrapping_add(value + 1) } else { 0 }
    };
    let upper = within(b'A', b'Z', 0);
    let lower = within(b'a', b'z', 26);
    let digit = within(b'0', b'9', 52);
    (upper | lower | digit | within(b'-', b'-', 62) | within(b'_', b'_', 63)).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use proptest::prelude::*;

    use super::*;

    fn decode_all(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; text.len()];
        decode(text, &mut out).ok().map(|len| out[..len].to_vec())
    }

    fn decode_by_base64ct(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; text.len()];
        Base64UrlUnpadded::decode(text, &mut out).ok().map(<[u8]>::to_vec)
    }

    #[test]
    fn every_text_of_up_to_two_bytes_and_every_last_character_is_judged_as_by_base64ct() {
        assert_eq!(decode_all(b""), decode_by_base64ct(b""));
        for first in 0..=u8::MAX {
            assert_eq!(decode_all(&[first]), None);
            for second in 0..=u8::MAX {
                for text in [&[first, second][..], &[b'A', first, second], &[b'A', b'A', first, second]] {
                    assert_eq!(decode_all(text), decode_by_base64ct(text), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn one_wrong_character_is_found_at_every_place() {
        for at in 0..40 {
            let mut text = [b'A'; 40];
            assert!(decode_all(&text).is_some());
            text[at] = b'=';
            assert_eq!(decode_all(&text), None, "{at}");
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
            prop_assert_eq!(encode_in_place(&mut buffer, bytes.len()), Some(expected.len()));
            prop_assert_eq!(&buffer, expected.as_bytes());
            prop_assert_eq!(decoded_len(buffer.len()), bytes.len());
            prop_assert_eq!(decode_all(&buffer), Some(bytes));
        }

        #[test]
        fn decoding_is_that_of_base64ct(text in prop_oneof!["[A-Za-z0-9_-]{0,40}", "[A-Za-z0-9_+/=. -]{0,12}", "\\PC{0,12}"]) {
            prop_assert_eq!(decode_all(text.as_bytes()), decode_by_base64ct(text.as_bytes()));
        }

        #[test]
        fn decoding_bytes_is_that_of_base64ct(text in prop::collection::vec(any::<u8>(), 0..16)) {
            prop_assert_eq!(decode_all(&text), decode_by_base64ct(&text));
        }
    }
}
