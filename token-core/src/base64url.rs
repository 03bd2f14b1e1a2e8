//! Strict base64url without padding (RFC 4648 §5, RFC 7515 §2) for what is public: headers and payloads.
//!
//! Both directions use tables, so their time depends on the bytes. Tags and refresh tokens go through `base64ct`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Marks a byte outside the alphabet. No sextet has this bit, so it survives being or-ed with any of them.
const INVALID: u8 = 0x80;

static SEXTETS: [u8; 256] = {
    let mut sextets = [INVALID; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        sextets[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    sextets
};

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
/// Works from the back: the characters of a triple only cover bytes that have been read by then.
pub(crate) fn encode_in_place(buffer: &mut [u8], len: usize) -> Option<usize> {
    let encoded_len = encoded_len(len);
    let buffer = buffer.get_mut(..encoded_len)?;
    let triples = len / 3;
    let (raw, text) = (triples * 3, triples * 4);
    match len - raw {
        1 => {
            let [a] = *buffer.get(raw..)?.first_chunk()?;
            let [w, x, ..] = quad([a, 0, 0]);
            *buffer.get_mut(text..)?.first_chunk_mut()? = [w, x];
        }
        2 => {
            let [a, b] = *buffer.get(raw..)?.first_chunk()?;
            let [w, x, y, _] = quad([a, b, 0]);
            *buffer.get_mut(text..)?.first_chunk_mut()? = [w, x, y];
        }
        _ => {}
    }
    for triple in (0..triples).rev() {
        let bytes = *buffer.get(triple * 3..)?.first_chunk()?;
        *buffer.get_mut(triple * 4..)?.first_chunk_mut()? = quad(bytes);
    }
    Some(encoded_len)
}

/// Decodes all of `text` into the front of `out`; returns the bytes, and the part of `out` they left free.
///
/// Padding, whitespace, other alphabets and stray low bits in the last character are all refused, so two different
/// texts never decode to the same bytes.
pub(crate) fn decode<'b>(
    text: &[u8],
    out: &'b mut [u8],
) -> Result<(&'b mut [u8], &'b mut [u8]), DecodeError> {
    let (decoded, free) =
        out.split_at_mut_checked(decoded_len(text.len())).ok_or(DecodeError::BufferTooSmall)?;
    let (quads, text_tail) = text.as_chunks::<4>();
    let (triples, tail) = decoded.as_chunks_mut::<3>();
    let mut seen = 0;
    for (quad, triple) in quads.iter().zip(triples) {
        let [a, b, c, d] = quad.map(|character| u32::from(sextet(character)));
        seen |= a | b | c | d;
        [_, triple[0], triple[1], triple[2]] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
    }
    let stray_bits = match (text_tail, tail) {
        ([], []) => 0,
        (&[a, b], [first]) => {
            let (a, b) = (sextet(a), sextet(b));
            seen |= u32::from(a | b);
            *first = a << 2 | b >> 4;
            b << 4
        }
        (&[a, b, c], [first, second]) => {
            let (a, b, c) = (sextet(a), sextet(b), sextet(c));
            seen |= u32::from(a | b | c);
            (*first, *second) = (a << 2 | b >> 4, b << 4 | c >> 2);
            c << 6
        }
        _ => return Err(DecodeError::Invalid),
    };
    if seen & u32::from(INVALID) != 0 || stray_bits != 0 {
        return Err(DecodeError::Invalid);
    }
    Ok((decoded, free))
}

fn sextet(character: u8) -> u8 {
    SEXTETS[usize::from(character)]
}

fn quad([a, b, c]: [u8; 3]) -> [u8; 4] {
    let word = u32::from_be_bytes([0, a, b, c]);
    [word >> 18, word >> 12, word >> 6, word].map(|sextet| ALPHABET[sextet as usize & 0x3F])
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
        decode(text, &mut out).ok().map(|(decoded, _)| decoded.to_vec())
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
    fn the_buffer_is_used_to_its_last_byte_and_the_rest_handed_back() {
        let mut out = [0; 5];
        let (decoded, free) = decode(b"AQIDBA", &mut out).unwrap();
        assert_eq!((&*decoded, free.len()), (&[1, 2, 3, 4][..], 1));
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
