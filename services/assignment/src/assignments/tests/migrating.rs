//! What migrations do with what is there already.

use sqlx::migrate::Migrator;

use super::*;

mod sqlite {
    #[tokio::test]
    async fn carriage_returns_become_line_feeds() {
        super::carriage_returns_become_line_feeds(None).await;
    }
}

mod postgres {
    #[tokio::test]
    async fn carriage_returns_become_line_feeds() {
        let server = crate::assignments::tests::postgres_server();
        super::carriage_returns_become_line_feeds(Some(&server)).await;
    }
}

/// 0003: text that was accepted with carriage returns.
async fn carriage_returns_become_line_feeds(postgres: Option<&str>) {
    let scratch = without_tables(postgres).await;
    let before = crate::MIGRATIONS.iter().filter(|migration| migration.version < 3);
    migrate(&scratch.db, &Migrator::with_migrations(before.cloned().collect())).await.unwrap();
    let (reason_for_visit, notes) = ("Fever\r\nCough".to_owned(), "\rfasting\n".to_owned());
    let old = New { reason_for_visit, notes, ..scratch.unmade(1, 1) };
    let old = store::create(&scratch.db, &scratch.origin(), None, &admin(), old)
        .await
        .ok()
        .unwrap()
        .into_proto();
    let other = scratch.create(2, 2).await.ok().unwrap();
    let other = (other.id, other.into_proto());

    migrate(&scratch.db, &crate::MIGRATIONS).await.unwrap();
    let get = async |id| store::get(&scratch.db, id, &admin()).await.ok().unwrap().into_proto();
    let new = get(old.id.parse().unwrap()).await;
    assert_eq!(new.reason_for_visit, "Fever\nCough");
    assert_eq!(new.notes, "\nfasting\n");
    assert_ne!(new.etag, old.etag);
    assert_eq!(get(other.0).await, other.1);
}
