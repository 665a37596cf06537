//! Node and its packages in `clients/node`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{commands, report};

const OLDEST: u32 = 20;

/// npm, with a Node that is new enough.
pub(crate) struct Npm(());

impl Npm {
    pub(crate) fn find() -> Result<Self> {
        let version = commands::output(Command::new("node").arg("--version"));
        let major = version.as_deref().and_then(major_version);
        let npm = commands::output(Command::new("npm").arg("--version"));
        if major.is_none_or(|major| major < OLDEST) || npm.is_none() {
            let found = version.map_or_else(String::new, |version| format!(" (found {version})"));
            bail!(
                "the client tests need Node {OLDEST} or newer with npm{found}: install it, or run \
                 `cargo xtask test --no-node`"
            );
        }
        Ok(Self(()))
    }

    /// Returns a command for `npm` in the clients' folder.
    pub(crate) fn command(&self) -> Command {
        let mut npm = commands::command("npm");
        npm.current_dir(folder());
        npm
    }

    /// Installs the locked packages, unless they are already installed.
    pub(crate) fn install(&self) -> Result<()> {
        let lock = fs::read(folder().join("package-lock.json"))
            .context("cannot read clients/node/package-lock.json")?;
        let installed = folder().join("node_modules/.clinic-installed-lock");
        if fs::read(&installed).is_ok_and(|installed| installed == lock) {
            return Ok(());
        }
        report::step("installing the packages of clients/node");
        commands::quietly(self.command().args(["ci", "--no-audit", "--no-fund"]))?;
        fs::write(&installed, lock).with_context(|| format!("cannot write {}", installed.display()))
    }
}

/// Returns the path of a program in the packages.
pub(crate) fn program(name: &str) -> PathBuf {
    folder().join("node_modules/.bin").join(name)
}

fn folder() -> PathBuf {
    commands::root().join("clients/node")
}

/// Returns the first number of a version such as `v20.11.1`.
fn major_version(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major_version("v20.11.1"), Some(20));
        assert_eq!(major_version("nonsense"), None);
    }
}
