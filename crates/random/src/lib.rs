//! Randomness for keys, tokens and salts.

/// Returns random bytes from the operating system.
///
/// # Panics
/// If the system provides no randomness. Without it the process cannot create secrets.
#[expect(clippy::panic, reason = "without randomness every key and token would be guessable")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system provides no randomness: {error}");
    }
    bytes
}
