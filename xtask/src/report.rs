//! Output for the terminal or the CI log.

/// Prints the step that begins. On stdout like the tests' output, to keep the order.
#[expect(clippy::print_stdout, reason = "a command-line tool prints to stdout")]
pub(crate) fn step(what: &str) {
    println!("xtask: {what}");
}

/// Prints one line.
#[expect(clippy::print_stdout, reason = "a command-line tool prints to stdout")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints an error.
#[expect(clippy::print_stderr, reason = "a command-line tool prints errors to stderr")]
pub(crate) fn complain(what: &str) {
    eprintln!("error: {what}");
}
