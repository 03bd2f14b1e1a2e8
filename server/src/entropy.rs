//! The one place that reads randomness: the operating system's generator, drawn into arrays.

/// `N` bytes nobody can guess.
///
/// # Panics
/// When the operating system has no entropy source, which no input can cause: going on would mean guessable keys.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides entropy");
    bytes
}
