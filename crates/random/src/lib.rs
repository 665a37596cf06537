//! Randomness for keys, tokens and salts.

/// Random bytes of the operating system.
///
/// # Panics
/// When the system has no randomness to give: nothing secret can be made then, so the process
/// must not go on.
#[expect(clippy::panic, reason = "without randomness every key and token would be guessable")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no randomness: {error}");
    }
    bytes
}
