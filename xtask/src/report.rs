//! What the person at the terminal, or the log of CI, gets to read.

/// Says which step begins. On stdout, like the output of the tests, so that the order is kept.
#[expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]
pub(crate) fn step(what: &str) {
    println!("xtask: {what}");
}

/// One line as it is.
#[expect(clippy::print_stdout, reason = "a command-line tool talks on stdout")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says what went wrong.
#[expect(clippy::print_stderr, reason = "a command-line tool complains on stderr")]
pub(crate) fn complain(what: &str) {
    eprintln!("error: {what}");
}
