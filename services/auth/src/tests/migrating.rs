//! Tests of migrations with existing rows.

use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;

use super::*;
use crate::tokens::RefreshToken;

on_both! { sessions_outlive_the_move_of_their_tokens }

/// Migration 0003 replaces the table of all refresh tokens with a table of used ones.
async fn sessions_outlive_the_move_of_their_tokens(backend: &Backend) {
    let database = TestDatabase::create(*backend).await;
    let db = database.connect().await;
    let before = crate::MIGRATIONS.iter().filter(|migration| migration.version < 3);
    migrate(&db, &Migrator::with_migrations(before.cloned().collect())).await.unwrap();
    // Ahead of the tests' clock, which keeps running, in case the machine is slow.
    let now = Clock::movable().now() + TimeDelta::seconds(60);
    let user = Clock::movable().new_id();
    let query = Query::new(
        "INSERT INTO users VALUES ($1, 'a@example.com', 'a@example.com', NULL, NULL, 'Test User', \
         'no hash', 2, true, false, 1, $2, $2)",
    );
    db.untracked().execute(query.bind(user).bind(now)).await.unwrap();
    let [used, first, second, logged_out] = [(); 4].map(|()| RefreshToken::generate());
    let salt = b"sixteen bytes of";
    let successor = used.successor(salt);
    let one = session(&db, user, now).await;
    token(&db, one, &used, now, Some(salt)).await;
    token(&db, one, &successor, now, None).await;
    for unused in [&first, &second, &logged_out] {
        let session = session(&db, user, now).await;
        token(&db, session, unused, now, None).await;
    }
    // The only token of this session expired and was deleted.
    session(&db, user, now - TimeDelta::days(8)).await;

    let suite = Suite::over(database, db).await;
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions").await, 5);
    assert_eq!(suite.refresh(&used.text()).await.unwrap().refresh, successor.text());
    for token in [first, second, successor] {
        let next = suite.refresh(&token.text()).await.unwrap();
        assert!(suite.refresh(&next.refresh).await.is_ok());
    }
    let request = clinic_proto::auth::v1::LogoutRequest { refresh: logged_out.text() };
    suite.auth.logout(&suite.nobody(), request).await.unwrap();
    assert_eq!(code(suite.refresh(&logged_out.text()).await), Code::Unauthenticated);
    suite.advance(75);
    assert_eq!(code(suite.refresh(&used.text()).await), Code::Unauthenticated);
    assert_eq!(suite.count("SELECT COUNT(*) FROM sessions WHERE revoked_at IS NULL").await, 3);
}

async fn session(db: &Db, user: Uuid, at: DateTime<Utc>) -> Uuid {
    let id = Clock::movable().new_id();
    let query = Query::new("INSERT INTO sessions VALUES ($1, $2, $3, $3, $4, NULL, '', '')");
    let query = query.bind(id).bind(user).bind(at).bind(at + TimeDelta::days(7));
    db.untracked().execute(query).await.unwrap();
    id
}

async fn token(
    db: &Db,
    session: Uuid,
    token: &RefreshToken,
    at: DateTime<Utc>,
    used_with: Option<&[u8]>,
) {
    let query = Query::new("INSERT INTO refresh_tokens VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(token.hash())
        .bind(session)
        .bind(at)
        .bind(at + TimeDelta::days(7))
        .bind(used_with.map(|_| at))
        .bind(used_with.map(<[u8]>::to_vec));
    db.untracked().execute(query).await.unwrap();
}
