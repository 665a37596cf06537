//! Tests of the pool.

use super::*;

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

/// Returns a permit for a client without a known address.
fn permit(hasher: &Hasher, account: &str) -> Permit {
    hasher.admit(None, account).unwrap()
}

#[tokio::test]
async fn a_password_is_kept_as_a_phc_string_and_recognised() {
    let hasher = Hasher::new().unwrap();
    let permit = permit(&hasher, "a");
    let stored = permit.hash(secret("testpass123")).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert_ne!(permit.hash(secret("testpass123")).await.unwrap(), stored);
    let verify = async |text| permit.verify(secret(text), Some(stored.clone())).await.unwrap();
    assert_eq!(verify("testpass123").await, Verdict::Right);
    assert_eq!(verify("testpass124").await, Verdict::Wrong);
    assert_eq!(verify("").await, Verdict::Wrong);
    // The library's own verification agrees.
    let parsed = PasswordHash::new(&stored).unwrap();
    argon2::PasswordVerifier::verify_password(&Argon2::default(), b"testpass123", &parsed).unwrap();
}

#[tokio::test]
async fn an_unknown_account_is_never_right() {
    let hasher = Hasher::new().unwrap();
    let verdict = permit(&hasher, "a").verify(secret("testpass123"), None).await;
    assert_eq!(verdict.unwrap(), Verdict::Wrong);
    assert!(is_current(&PasswordHash::new(&hasher.0.decoy).unwrap()));
}

#[tokio::test]
async fn a_sign_in_is_refused_when_the_queue_is_full() {
    use tonic_types::StatusExt as _;
    let hasher = Hasher::new().unwrap();
    let cores = hasher.0.cores;
    assert_eq!(hasher.0.queue.available_permits(), cores * QUEUE);
    let others = hasher.0.queue.try_acquire_many(u32::try_from(cores * QUEUE).unwrap());
    let refused = hasher.admit(None, "a").err().unwrap();
    assert!(matches!(refused, Error::HashersBusy));
    let refused = tonic::Status::from(clinic_net::Error::from(refused));
    assert!(refused.get_details_retry_info().is_some());
    drop(others);
    assert!(permit(&hasher, "a").verify(secret("testpass123"), None).await.is_ok());
    assert_eq!(hasher.0.queue.available_permits(), cores * QUEUE);
}

#[tokio::test]
async fn passwords_that_come_at_once_are_hashed_by_one_thread_for_each_core() {
    let hasher = Hasher::new().unwrap();
    let permits: Vec<_> =
        (0..hasher.0.cores * 3).map(|number| permit(&hasher, &number.to_string())).collect();
    let all = permits.iter().map(|permit| permit.verify(secret("testpass123"), None));
    let all = futures::future::join_all(all).await;
    assert!(all.into_iter().all(|verdict| verdict.unwrap() == Verdict::Wrong));
    let most = hasher.0.cores;
    assert!(hasher.0.work().spare.len() <= most, "one memory for each thread");
    let later = permit(&hasher, "a").verify(secret("testpass123"), None).await;
    assert!(later.is_ok(), "later hashes work too");
}

#[tokio::test]
async fn a_caller_that_hangs_up_costs_no_hash_and_keeps_its_place_in_the_queue() {
    let hasher = Hasher::new().unwrap();
    // Marks all threads as busy, so that jobs wait.
    hasher.0.work().threads = hasher.0.cores;
    let gone = permit(&hasher, "a");
    let mut waits = Box::pin(gone.verify(secret("testpass123"), None));
    assert!(futures::poll!(&mut waits).is_pending());
    drop(waits);
    drop(gone);
    let free = || hasher.0.queue.available_permits();
    assert_eq!(free(), hasher.0.cores * QUEUE - 1);
    let mut memory = Vec::new();
    let job = hasher.0.work().waiting.pop().unwrap();
    job(&mut memory);
    assert!(memory.is_empty());
    assert_eq!(free(), hasher.0.cores * QUEUE);
}

#[tokio::test]
async fn an_address_that_sends_many_passwords_holds_up_no_other_address() {
    let hasher = Hasher::new().unwrap();
    // Marks all threads as busy, so that jobs wait.
    hasher.0.work().threads = hasher.0.cores;
    let from =
        |last: u8, account: &str| hasher.admit(Some([192, 0, 2, last].into()), account).unwrap();
    let many: Vec<_> = (0..20).map(|number| from(1, &number.to_string())).collect();
    let one = from(2, "0");
    let mut waiting: Vec<_> = many
        .iter()
        .chain([&one])
        .map(|permit| Box::pin(permit.verify(secret("testpass123"), None)))
        .collect();
    for wait in &mut waiting {
        assert!(futures::poll!(wait).is_pending());
    }
    let mut memory = Vec::new();
    for _ in 0..2 {
        let job = hasher.0.work().waiting.pop().unwrap();
        job(&mut memory);
    }
    assert!(futures::poll!(waiting.last_mut().unwrap()).is_ready());
}

#[tokio::test]
async fn a_hash_with_other_parameters_is_recognised_as_outdated() {
    let hasher = Hasher::new().unwrap();
    let permit = permit(&hasher, "a");
    for (m, t, p) in [(8 * 1024, 2, 1), (32 * 1024, 1, 2)] {
        let params = Params::new(m, t, p, Some(OUTPUT)).unwrap();
        let mut old = phc(Salt::new(&[1; 16]).unwrap(), Output::new(&[0; 32]).unwrap()).unwrap();
        old.params = ParamsString::try_from(&params).unwrap();
        old.hash = Some(output("testpass123", &old, &mut Vec::new()).unwrap());
        let verdict = permit.verify(secret("testpass123"), Some(old.to_string())).await.unwrap();
        assert_eq!(verdict, Verdict::Outdated);
    }
}

#[tokio::test]
async fn a_damaged_hash_is_an_error_and_not_a_match() {
    let hasher = Hasher::new().unwrap();
    assert!(permit(&hasher, "a").verify(secret(""), Some(String::new())).await.is_err());
}
