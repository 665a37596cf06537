//! Tests of migrations with existing rows.

use sqlx::migrate::Migrator;

use super::*;

on_both! { carriage_returns_become_line_feeds }

/// Migration 0003 converts text that was accepted with carriage returns.
async fn carriage_returns_become_line_feeds(backend: &Backend) {
    let scratch = Scratch::without_tables(*backend).await;
    let before = crate::MIGRATIONS.iter().filter(|migration| migration.version < 3);
    migrate(&scratch.db, &Migrator::with_migrations(before.cloned().collect())).await.unwrap();
    let old = scratch.create(1, 1).await.ok().unwrap();
    let text = Query::new("UPDATE assignments SET reason_for_visit = $1, notes = $2")
        .bind("Fever\r\nCough")
        .bind("\rfasting\n");
    scratch.db.untracked().execute(text).await.unwrap();
    let other = scratch.create(2, 2).await.ok().unwrap();

    migrate(&scratch.db, &crate::MIGRATIONS).await.unwrap();
    let new = scratch.get(&admin(), &old.id).await.ok().unwrap();
    assert_eq!(new.reason_for_visit, "Fever\nCough");
    assert_eq!(new.notes, "\nfasting\n");
    assert_ne!(new.etag, old.etag);
    assert_eq!(scratch.get(&admin(), &other.id).await.ok().unwrap(), other);
}
