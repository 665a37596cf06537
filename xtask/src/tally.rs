//! Counts tests from the output of the test runners.

use std::fmt;

/// Numbers of passed and failed tests.
#[derive(Default)]
pub(crate) struct Tally {
    /// Passed on SQLite: `::sqlite` is in the name.
    pub(crate) sqlite: usize,
    /// Passed on PostgreSQL: `::postgres` is in the name.
    pub(crate) postgres: usize,
    /// Passed in Rust, by the runner's own sums.
    rust: usize,
    /// Passed in Node.
    pub(crate) node: usize,
    /// Passed in Node behind a proxy.
    pub(crate) proxies: usize,
    /// Passed in Python.
    pub(crate) python: usize,
    /// Skipped.
    pub(crate) ignored: usize,
    /// Failed, by the runners' own sums.
    failed: usize,
    /// Errors other than failed tests, one sentence each.
    faults: Vec<String>,
    failures: Vec<String>,
}

impl Tally {
    /// Reads one line of `cargo test`.
    pub(crate) fn read_rust(&mut self, line: &str) {
        if let Some(sums) = line.strip_prefix("test result: ") {
            self.rust += count(sums, "passed");
            self.failed += count(sums, "failed");
            self.ignored += count(sums, "ignored");
        } else if let Some((name, outcome)) = outcome(line) {
            match outcome {
                "ok" if name.contains("::sqlite") => self.sqlite += 1,
                "ok" if name.contains("::postgres") => self.postgres += 1,
                "FAILED" => self.failures.push(name.to_owned()),
                _ => {}
            }
        }
    }

    /// Reads one line of Node's `spec` reporter. Returns the number of passed tests.
    pub(crate) fn read_node(&mut self, line: &str) -> usize {
        let sum = line.strip_prefix("ℹ ").and_then(|sum| sum.split_once(' '));
        let Some((word, Ok(number))) = sum.map(|(word, number)| (word, number.parse::<usize>()))
        else {
            return 0;
        };
        match word {
            "pass" => return number,
            "fail" | "cancelled" => self.failed += number,
            "skipped" | "todo" => self.ignored += number,
            _ => {}
        }
        0
    }

    /// Reads one line of the Python tests; the last has the sums. Returns how many tests passed.
    pub(crate) fn read_python(&mut self, line: &str) -> usize {
        let Some(sums) = line.strip_prefix("python: ") else { return 0 };
        self.failed += count(sums, "failed");
        count(sums, "passed")
    }

    /// Records an error other than a failed test.
    pub(crate) fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// Returns the number of failures so far, including faults.
    pub(crate) fn failed(&self) -> usize {
        self.failed + self.faults.len()
    }

    pub(crate) fn passed(&self) -> usize {
        self.rust + self.node + self.proxies + self.python
    }

    pub(crate) fn unit(&self) -> usize {
        self.rust.saturating_sub(self.sqlite + self.postgres)
    }

    /// Returns the failed Rust tests, then the faults.
    pub(crate) fn complaints(&self) -> impl Iterator<Item = String> + '_ {
        let failures = self.failures.iter().map(|name| format!("test failed: {name}"));
        failures.chain(self.faults.iter().cloned())
    }
}

/// Formats the last line of the run, for parsers of test reports.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed(), self.failed())?;
        if self.ignored > 0 {
            write!(f, ", {} skipped", self.ignored)?;
        }
        Ok(())
    }
}

/// Returns the name and the outcome in `test some::name ... ok`.
fn outcome(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    // An ignored test may have a reason: `ignored, because`.
    Some((name, outcome.split(',').next().unwrap_or(outcome)))
}

/// Returns the number before a word in `ok. 12 passed; 0 failed; …`.
fn count(sums: &str, word: &str) -> usize {
    let mut words = sums.split([' ', ',', ';']).filter(|one| !one.is_empty()).peekable();
    while let Some(one) = words.next() {
        if words.peek() == Some(&word) {
            return one.parse().unwrap_or(0);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_tests_are_counted_by_their_database() {
        let mut tally = Tally::default();
        for line in [
            "running 6 tests",
            "test patients::lists_in_order::sqlite ... ok",
            "test patients::lists_in_order::postgres ... ok",
            "test patients::deletes::postgres ... FAILED",
            "test names::are_trimmed ... ok",
            "test names::are_empty - should panic ... ok",
            "test slow ... ignored, takes an hour",
            "test result: FAILED. 4 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; \
             finished in 0.10s",
        ] {
            tally.read_rust(line);
        }
        assert_eq!((tally.unit(), tally.sqlite, tally.postgres), (2, 1, 1));
        assert_eq!(tally.to_string(), "4 passed, 1 failed, 1 skipped");
        let complaints: Vec<_> = tally.complaints().collect();
        assert_eq!(complaints, ["test failed: patients::deletes::postgres"]);
    }

    #[test]
    fn node_tests_are_counted_from_the_summary() {
        let mut tally = Tally::default();
        for line in [
            "▶ suite",
            "  ✔ pass 99 (1.0ms)",
            "ℹ tests 12",
            "ℹ pass 10",
            "ℹ fail 1",
            "ℹ cancelled 1",
            "ℹ duration_ms 12.5",
        ] {
            tally.node += tally.read_node(line);
        }
        assert_eq!(tally.node, 10);
        assert_eq!(tally.to_string(), "10 passed, 2 failed");
    }

    #[test]
    fn python_tests_are_counted_from_the_last_line() {
        let mut tally = Tally::default();
        for line in ["✔ STAFF: 52 of 52 operations, 0 failed", "python: 52 passed, 3 failed"] {
            tally.python += tally.read_python(line);
        }
        assert_eq!(tally.python, 52);
        assert_eq!(tally.to_string(), "52 passed, 3 failed");
    }

    #[test]
    fn a_fault_is_a_failure_even_when_every_test_passed() {
        let mut tally = Tally::default();
        tally.read_rust("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured");
        tally.fault("cargo test failed");
        assert_eq!(tally.to_string(), "3 passed, 1 failed");
    }
}
