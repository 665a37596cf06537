//! Finds or installs PostgreSQL's server programs.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{commands, packages::Package};

/// Programs that a usable folder contains.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Places with one folder per version: parent, prefix of the version's folder, and subfolder.
const VERSIONED: [(&str, &str, &str); 7] = [
    // Debian and its relatives.
    ("/usr/lib/postgresql", "", "bin"),
    // The PostgreSQL project's packages for Fedora and its relatives.
    ("/usr", "pgsql-", "bin"),
    // Alpine.
    ("/usr/libexec", "postgresql", ""),
    ("/usr/lib", "postgresql", "bin"),
    // Homebrew, on Apple's and Intel's processors and on Linux.
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
];

/// Returns the folder of the programs; installs them if they are missing.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    POSTGRES.find_or_install(find)
}

fn find() -> Option<PathBuf> {
    let configured = commands::output(Command::new("pg_config").arg("--bindir")).map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let versioned = VERSIONED.iter().flat_map(|(parent, prefix, subfolder)| {
        let folders = newest_first(Path::new(parent), prefix).into_iter();
        folders.map(move |folder| folder.join(subfolder))
    });
    configured
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(versioned)
        .find(|folder| PROGRAMS.iter().all(|program| commands::is_program(&folder.join(program))))
}

/// Returns the folders in `parent` that are named `prefix` and a version.
fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut folders: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = version(name.to_str()?.strip_prefix(prefix)?)?;
            Some((version, entry.path()))
        })
        .collect();
    folders.sort_by_key(|(version, _)| Reverse(version.clone()));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

/// Parses a version: `17`, or `9.6` in the old scheme.
fn version(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

const POSTGRES: Package = Package {
    name: "PostgreSQL",
    no_manager: "PostgreSQL's server programs (initdb, postgres, pg_ctl) are not installed, and \
                 xtask cannot install them: install your system's PostgreSQL server package, or \
                 run `cargo xtask test --sqlite-only`",
    failed: "cannot install PostgreSQL (`cargo xtask test --sqlite-only` does not need it)",
    not_found: "PostgreSQL was installed, but its server programs were not found",
    scripts: [
        (
            "apt-get",
            // Without the setting, Debian's package would create and start a server permanently.
            "export DEBIAN_FRONTEND=noninteractive
             setting=/etc/postgresql-common/createcluster.conf
             if [ ! -e $setting ]; then
                 mkdir -p /etc/postgresql-common
                 echo 'create_main_cluster = false' > $setting
             fi
             apt-get update -q
             apt-get install -q -y --no-install-recommends \
                 -o Dpkg::Options::=--force-confold postgresql",
        ),
        ("dnf", "dnf install -q -y postgresql-server"),
        ("apk", "apk add -q postgresql"),
        ("brew", "brew install --quiet postgresql@17"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["v9.6", "v15", "v9", "v17", "vnext", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found: Vec<_> = newest_first(folder.path(), "v")
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, ["v17", "v15", "v9.6", "v9"]);
    }
}
