//! Places where services write tables without journal entries. A new place fails the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Number of such writes in each file of the services.
const KNOWN: [(&str, usize); 4] = [
    // The lock that serializes changes of roles.
    ("auth/src/users/store.rs", 1),
    // Intents to create a profile.
    ("auth/src/users/registrations.rs", 4),
    // Used refresh tokens.
    ("auth/src/sessions/store.rs", 1),
    // The deletion of expired tokens and sessions.
    ("auth/src/sessions/cleanup.rs", 1),
];

#[test]
fn services_write_without_journal_entries_only_in_known_places() {
    let services = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../services");
    let mut found = BTreeMap::new();
    count(&services, &services, &mut found);
    let known = KNOWN.into_iter().map(|(file, count)| (file.to_owned(), count));
    assert_eq!(found, known.collect());
}

fn count(root: &Path, folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                count(root, &path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let uses = fs::read_to_string(&path).unwrap().matches(".untracked(").count();
            if uses > 0 {
                let file = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(file.to_owned(), uses);
            }
        }
    }
}
