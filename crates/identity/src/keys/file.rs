//! Files of the keys directory: written atomically, and refused if other users could have read or
//! changed them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clinic_clock::Clock;

use super::KeyError;

/// Maximum size of a file. A key is 119 bytes and a trusted issuer a few hundred.
const MAX_BYTES: u64 = 1024 * 1024;

/// Access of other users that a private file must not have: they may not even read it.
pub(super) const PRIVATE: u32 = 0o077;
/// Access of other users that a public file must not have: they may read it, but not change it.
pub(super) const PUBLIC: u32 = 0o022;

/// Reads a file, unless other users have one of the `refused` kinds of access.
pub(super) fn read(path: &Path, refused: u32) -> Result<String, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Check the open file, so that it cannot be replaced between the check and the read.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & refused != 0 {
        return Err(KeyError::TooOpen { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Writes a file with mode 0600 atomically, even if the process or the machine crashes.
pub(super) fn write(path: &Path, content: &str, clock: &Clock) -> Result<(), KeyError> {
    let unwritable = |source| KeyError::Unwritable { path: path.to_owned(), source };
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    make_directory(directory)?;
    // `list` ignores names that begin with a dot.
    let temporary = directory.join(format!(".{}.tmp", clock.new_id()));
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Ignore a failed cleanup: the error to report is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| File::open(directory)?.sync_all()).map_err(unwritable)
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

pub(super) fn make_directory(path: &Path) -> Result<(), KeyError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| KeyError::Unwritable { path: path.to_owned(), source })
}

/// Creates the directory if needed and locks it. Other processes that want to change it wait until
/// the returned file is dropped. Locking the directory itself needs no write permission.
pub(super) fn lock(path: &Path) -> Result<File, KeyError> {
    make_directory(path)?;
    let unwritable = |source| KeyError::Unwritable { path: path.to_owned(), source };
    let directory = File::open(path).map_err(unwritable)?;
    directory.lock().map_err(unwritable)?;
    Ok(directory)
}

/// Returns the files with that extension, sorted by name without the extension. Empty if the
/// directory does not exist.
pub(super) fn list(directory: &Path, extension: &str) -> Result<Vec<(String, PathBuf)>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let matches = path.extension().and_then(|e| e.to_str()) == Some(extension);
        if let Some(stem) = stem.filter(|stem| matches && !stem.starts_with('.')) {
            found.push((stem.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the names of the subdirectories, sorted.
pub(super) fn directories(path: &Path) -> Result<Vec<String>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}
