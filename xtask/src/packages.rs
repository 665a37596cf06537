//! Finds programs, and installs missing ones with the system's package manager, if the user may.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{commands, commands::we_are_root, report};

/// A system package.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// A shell script for each package manager. The first one found is used.
    pub(crate) scripts: [(&'static str, &'static str); 4],
    /// The error if the user can run none of the package managers.
    pub(crate) no_manager: &'static str,
    /// The error if the installation fails.
    pub(crate) failed: &'static str,
    /// The error if the program is still missing after the installation.
    pub(crate) not_found: &'static str,
}

impl Package {
    /// Returns the path that `find` finds; installs the package if it finds none.
    pub(crate) fn find_or_install(&self, find: impl Fn() -> Option<PathBuf>) -> Result<PathBuf> {
        if let Some(path) = find() {
            return Ok(path);
        }
        let Some((manager, mut shell)) = self.installer() else { bail!(self.no_manager) };
        report::step(&format!("installing {} with {manager}", self.name));
        commands::quietly(&mut shell).context(self.failed)?;
        find().context(self.not_found)
    }

    /// Returns the package manager and the command that installs with it, if the user may run it.
    fn installer(&self) -> Option<(&'static str, Command)> {
        let mut scripts = self.scripts.into_iter();
        let (manager, script) = scripts.find(|(manager, _)| commands::find(manager).is_some())?;
        let mut shell = Command::new("sh");
        // Homebrew must be run by its owner, and refuses root.
        let root = we_are_root();
        if (manager == "brew") == root {
            if root || commands::output(Command::new("sudo").args(["-n", "true"])).is_none() {
                return None;
            }
            shell = Command::new("sudo");
            shell.args(["-n", "sh"]);
        }
        shell.args(["-e", "-c", script]);
        Some((manager, shell))
    }
}
