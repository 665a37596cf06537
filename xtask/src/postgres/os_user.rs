//! The system user that runs the server, which refuses to run as root.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::commands::{id, we_are_root};

/// Another system user, used if xtask runs as root.
pub(crate) struct OsUser {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
}

impl OsUser {
    /// Returns another user if xtask runs as root, otherwise None.
    pub(crate) fn when_root() -> Result<Option<Self>> {
        if !we_are_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id(&["-u", name]), id(&["-g", name]))
                && uid != 0
            {
                return Ok(Some(Self { name: name.to_owned(), uid, gid }));
            }
        }
        bail!("PostgreSQL cannot run as root, and there is no user `postgres` or `nobody`")
    }

    /// Makes a command run as this user. std drops root's groups too.
    pub(crate) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to {}", path.display(), self.name))
    }
}
