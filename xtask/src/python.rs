//! Python and its packages in `clients/python`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{commands, report};

const OLDEST: (u32, u32) = (3, 11);

/// A Python that is new enough and can make environments.
pub(crate) struct Python {
    version: String,
}

impl Python {
    pub(crate) fn find() -> Result<Self> {
        let ask = |question| commands::answer(Command::new("python3").args(["-c", question]));
        let version = ask("import sys; print('%d.%d' % sys.version_info[:2])");
        // Some distributions have them in a package of their own.
        let environments = ask("import ensurepip, venv").is_some();
        match version {
            Some(version) if environments && numbers(&version) >= Some(OLDEST) => {
                Ok(Self { version })
            }
            version => {
                let (major, minor) = OLDEST;
                let found =
                    version.map_or_else(String::new, |version| format!(" (found {version})"));
                bail!(
                    "the API tests need Python {major}.{minor} or newer with venv and pip{found}: \
                     install it, or run `cargo xtask test --no-python`"
                )
            }
        }
    }

    /// The environment's own `python` in the tests' folder.
    pub(crate) fn command(&self) -> Command {
        let mut python = commands::command(environment().join("bin/python"));
        python.current_dir(folder());
        python
    }

    /// Makes the environment with exactly the packages that are required, unless it is there.
    pub(crate) fn install(&self) -> Result<()> {
        let required = fs::read_to_string(folder().join("requirements.txt"))
            .context("cannot read clients/python/requirements.txt")?;
        let wanted = format!("# Python {}\n{required}", self.version);
        let installed = environment().join("clinic-installed-requirements");
        if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        report::step("the packages of clients/python");
        let mut make = commands::command("python3");
        commands::quietly(make.args(["-m", "venv", "--clear"]).arg(environment()))?;
        let mut install = self.command();
        install.args(["-m", "pip", "install", "--no-deps", "--require-hashes"]);
        commands::quietly(install.args(["--requirement", "requirements.txt"]))?;
        fs::write(&installed, wanted)
            .with_context(|| format!("cannot write {}", installed.display()))
    }
}

fn environment() -> PathBuf {
    folder().join(".venv")
}

fn folder() -> PathBuf {
    commands::root().join(Path::new("clients/python"))
}

/// `3.11`.
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
