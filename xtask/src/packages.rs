//! Installs programs with the system's package manager, if the user may do so.

use std::process::Command;

use anyhow::Result;

use crate::{commands, commands::we_are_root, report};

/// A shell script for each package manager. The first one found is used.
pub(crate) type Scripts = [(&'static str, &'static str); 4];

/// A package manager that the user may run.
pub(crate) struct Installer {
    manager: &'static str,
    script: &'static str,
    with_sudo: bool,
}

impl Installer {
    pub(crate) fn find(scripts: &Scripts) -> Option<Self> {
        let (manager, script) =
            *scripts.iter().find(|(manager, _)| commands::find(manager).is_some())?;
        // Homebrew must be run by its owner, and refuses root.
        let root = we_are_root();
        if (manager == "brew") != root {
            return Some(Self { manager, script, with_sudo: false });
        }
        let sudo = || commands::answer(Command::new("sudo").args(["-n", "true"])).is_some();
        (!root && sudo()).then_some(Self { manager, script, with_sudo: true })
    }

    pub(crate) fn run(&self, what: &str) -> Result<()> {
        report::step(&format!("installing {what} with {}", self.manager));
        let mut shell = Command::new(if self.with_sudo { "sudo" } else { "sh" });
        if self.with_sudo {
            shell.args(["-n", "sh"]);
        }
        commands::quietly(shell.args(["-e", "-c", self.script]))
    }
}
