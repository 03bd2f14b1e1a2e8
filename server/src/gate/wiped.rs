//! A buffer for bytes that may hold a password: what leaves it is overwritten with zeros.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize;

/// Bytes that leave no copy behind when they are consumed, when the buffer grows, and when it is dropped.
///
/// The room behind the bytes is always clean, so only the bytes themselves have to be wiped.
#[derive(Default)]
pub struct Wiped(Vec<u8>);

/// What it holds may be secret.
impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wiped({} bytes)", self.0.len())
    }
}

impl Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl Wiped {
    /// A buffer of so many zeros, to be filled.
    pub fn zeros(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// The bytes, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes fit without more memory.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, more: usize) {
        let needed = self.0.len() + more;
        if needed > self.0.capacity() {
            self.move_to(Vec::with_capacity(needed.max(2 * self.0.capacity())));
        }
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Makes it as long as this, with zeros at its end if it was shorter.
    pub fn resize(&mut self, len: usize) {
        self.reserve(len.saturating_sub(self.0.len()));
        let kept = len.min(self.0.len());
        self.0[kept..].zeroize();
        self.0.resize(len, 0);
    }

    /// Takes out the first `len` bytes.
    pub fn consume(&mut self, len: usize) {
        self.0.copy_within(len.., 0);
        self.resize(self.0.len() - len);
    }

    /// Takes out everything.
    pub fn clear(&mut self) {
        self.resize(0);
    }

    /// Gives back room that is not needed.
    pub fn shrink(&mut self) {
        self.move_to(Vec::with_capacity(self.0.len()));
    }

    fn move_to(&mut self, mut room: Vec<u8>) {
        room.extend_from_slice(&self.0);
        self.0.as_mut_slice().zeroize();
        self.0 = room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_consumed_is_overwritten_and_the_rest_moves_up() {
        let mut buffer = Wiped::default();
        buffer.extend(b"password and more");
        buffer.consume(9);
        assert_eq!(&*buffer, b"and more");
        // Growing within the room shows what lay behind the bytes.
        buffer.resize(17);
        assert_eq!(&*buffer, b"and more\0\0\0\0\0\0\0\0\0");
        buffer.clear();
        buffer.resize(17);
        assert_eq!(&*buffer, [0; 17]);
    }

    #[test]
    fn it_grows_and_shrinks_without_losing_a_byte() {
        let mut buffer = Wiped::default();
        for byte in 0..=255 {
            buffer.extend(&[byte]);
        }
        assert!(buffer.iter().copied().eq(0..=255));
        buffer.consume(250);
        buffer.shrink();
        assert_eq!((&*buffer, buffer.capacity()), (&[250, 251, 252, 253, 254, 255][..], 6));
    }

    #[test]
    fn debug_tells_no_byte() {
        let mut buffer = Wiped::default();
        buffer.extend(b"password");
        assert_eq!(format!("{buffer:?}"), "Wiped(8 bytes)");
    }
}
