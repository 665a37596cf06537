use std::fs;
use std::os::unix::fs::PermissionsExt;

use chrono::TimeDelta;

use super::*;

fn directory() -> (tempfile::TempDir, KeyDir, Clock) {
    let directory = tempfile::tempdir().unwrap();
    let keys = KeyDir::new(directory.path().join("keys"));
    (directory, keys, Clock::movable())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}

#[test]
fn init_creates_all_keys_once_and_readable_only_by_their_owner() {
    let (_directory, keys, clock) = directory();
    let mut made = keys.init(&clock).unwrap();
    assert_eq!(keys.init(&clock).unwrap(), Vec::<String>::new());
    let mut found = vec![keys.path().to_owned()];
    walk(keys.path(), &mut found);
    let name = |path: &PathBuf| path.strip_prefix(keys.path()).unwrap().display().to_string();
    let mut files: Vec<_> = found.iter().filter(|path| path.is_file()).map(name).collect();
    files.sort();
    made.sort();
    assert_eq!(files, made);
    assert_eq!(files.len(), 9);
    for path in found {
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn init_adds_only_what_is_missing() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    fs::remove_file(keys.trusted("records")).unwrap();
    assert_eq!(keys.init(&clock).unwrap(), ["trusted/records.json"]);
    let kid = &SigningKeys::read(&keys.issuer("records"), None).unwrap().public()[0].kid;
    assert!(TrustedKeys::read(&keys.all_trusted(), None).unwrap().get(kid).is_some());
}

#[test]
fn an_issuer_whose_private_key_is_elsewhere_gets_no_new_one() {
    let (_directory, keys, clock) = directory();
    keys.add_issuer("reports", ActsFor::Itself, &clock).unwrap();
    fs::remove_dir_all(keys.issuer("reports")).unwrap();
    assert_eq!(keys.add_issuer("reports", ActsFor::Itself, &clock).unwrap(), Vec::<String>::new());
}

#[test]
fn rotation_adds_a_key_that_signs_once_it_has_settled_and_keeps_the_old_one_trusted() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    clock.advance(TimeDelta::hours(1));
    let old = SigningKeys::read(&keys.issuer("gateway"), None)
        .unwrap()
        .at(clock.unix())
        .unwrap()
        .kid
        .clone();
    assert_eq!(keys.rotate(&clock).unwrap().len(), 9);
    let both = SigningKeys::read(&keys.issuer("gateway"), None).unwrap();
    assert_eq!(both.at(clock.unix()).unwrap().kid, old);
    let new = both.at(clock.unix() + signing::SETTLE_SECONDS + 1).unwrap().kid.clone();
    assert!(new > old);
    let trusted = TrustedKeys::read(&keys.all_trusted(), None).unwrap();
    assert!(trusted.get(&old).is_some() && trusted.get(&new).is_some());
    let order: Vec<_> = both.public().into_iter().map(|jwk| jwk.kid).collect();
    assert_eq!(order, [new, old]);
}

#[test]
fn a_new_key_signs_at_once_when_it_is_the_only_one() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    assert!(SigningKeys::read(&keys.access(), None).unwrap().at(clock.unix()).is_some());
}

#[test]
fn a_private_key_that_others_may_read_is_refused() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    let (_, path) = file::list(&keys.access(), "pem").unwrap().remove(0);
    for open in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        assert!(
            matches!(SigningKeys::read(&keys.access(), None), Err(KeyError::TooOpen { .. })),
            "{open:o}"
        );
    }
}

#[test]
fn a_trusted_file_that_others_may_change_is_refused_but_they_may_read_it() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    fs::set_permissions(keys.trusted("auth"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(TrustedKeys::read(&keys.all_trusted(), None).is_ok());
    fs::set_permissions(keys.trusted("auth"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(TrustedKeys::read(&keys.all_trusted(), None), Err(KeyError::TooOpen { .. })));
}

#[test]
fn a_directory_without_keys_says_what_to_run() {
    let (_directory, keys, clock) = directory();
    for error in [
        SigningKeys::read(&keys.access(), None).err().unwrap(),
        SigningKeys::read(&keys.issuer("gateway"), None).err().unwrap(),
        TrustedKeys::read(&keys.all_trusted(), None).err().unwrap(),
        keys.rotate(&clock).err().unwrap(),
    ] {
        assert!(error.to_string().contains("run `clinic keys init`"), "{error}");
    }
}

#[test]
fn the_error_for_a_damaged_key_does_not_show_the_key() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    let (_, path) = file::list(&keys.access(), "pem").unwrap().remove(0);
    for text in ["", "sesame", "-----BEGIN PRIVATE KEY-----\nc2VzYW1l\n-----END PRIVATE KEY-----\n"]
    {
        fs::write(&path, text).unwrap();
        let error = SigningKeys::read(&keys.access(), None).err().unwrap();
        assert!(matches!(error, KeyError::Invalid { .. }));
        assert!(!error.to_string().contains("sesame"));
    }
}

#[test]
fn one_key_under_two_names_is_refused() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    let text = fs::read_to_string(keys.trusted("auth")).unwrap();
    let copied = text.replace("\"auth\"", "\"gateway\"");
    file::write(&keys.trusted("gateway"), &copied, &clock).unwrap();
    assert!(matches!(TrustedKeys::read(&keys.all_trusted(), None), Err(KeyError::Invalid { .. })));
}

#[test]
fn a_trusted_file_under_another_name_than_its_issuer_is_refused() {
    let (_directory, keys, clock) = directory();
    keys.init(&clock).unwrap();
    fs::rename(keys.trusted("auth"), keys.trusted("other")).unwrap();
    assert!(matches!(TrustedKeys::read(&keys.all_trusted(), None), Err(KeyError::Invalid { .. })));
}

#[test]
fn names_that_could_leave_the_directory_are_refused() {
    let (_directory, keys, clock) = directory();
    for name in ["", "..", "a/b", "A", "1a", "a.b", &"a".repeat(64)] {
        let added = keys.add_issuer(name, ActsFor::Itself, &clock);
        assert!(matches!(added, Err(KeyError::Name)), "{name}");
    }
}

#[test]
fn concurrent_processes_create_keys_only_once() {
    let (_directory, keys, clock) = directory();
    let made: usize = std::thread::scope(|scope| {
        let init = || keys.init(&clock).unwrap().len();
        let all: Vec<_> = (0..8).map(|_| scope.spawn(init)).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(made, 9);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| keys.rotate(&clock).unwrap());
        }
    });
    // Every private key is trusted: no process overwrote the keys of another.
    let trusted = TrustedKeys::read(&keys.all_trusted(), None).unwrap();
    for (name, _) in ISSUERS {
        let public = SigningKeys::read(&keys.issuer(name), None).unwrap().public();
        assert_eq!(public.len(), 9);
        assert!(public.iter().all(|jwk| trusted.get(&jwk.kid).is_some()));
    }
}
