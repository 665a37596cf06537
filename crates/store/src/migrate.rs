//! Migrates the schema, and checks that it is up to date.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{Connection as _, Executor as _};

use crate::db::{Db, Pools};
use crate::error::{Cause, Error, code};
use crate::query::Query;
use crate::row::Backend;

/// Why the schema cannot be used. Each text says in one sentence what to do.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are missing.
    #[error("the database's schema is older than this program: run `clinic migrate`")]
    Older,
    /// A newer version of Clinic has migrated the database.
    #[error("the database's schema is newer than this program: upgrade Clinic")]
    Newer,
    /// A migration was edited after it had been applied.
    #[error(
        "migration {0} differs from the one that was applied to the database: use the release that \
         made the database, or restore a backup"
    )]
    Changed(i64),
    #[error(
        "the user of the database URL may not change the schema: make it the owner of the \
         database, with `ALTER DATABASE … OWNER TO …`"
    )]
    NotAllowed,
    #[error("a migration failed and was rolled back: keep the log, and report it")]
    Failed(#[source] Cause),
    #[error("the database did not answer while its schema was checked: try again")]
    Database(#[from] Error),
}

/// Applies the missing migrations. Safe to run in several processes at once: one migrates, and the
/// others wait for it.
///
/// Both databases share one history. A file named `0002_name.postgres.sql` or
/// `0002_name.sqlite.sql` applies to that database only.
pub async fn migrate(db: &Db, migrator: &Migrator) -> Result<(), SchemaError> {
    let migrator = Migrator::with_migrations(applicable(db, migrator).cloned().collect());
    let done = match &db.pools {
        Pools::Postgres(pool, _) => {
            let mut lease = pool.lease().await?;
            let connection = lease.connection()?;
            // No limit for a migration, nor for waiting until another process has migrated.
            connection.execute("SET statement_timeout = 0").await.map_err(Error::from)?;
            let done = migrator.run(connection).await;
            // Closing the session resets the timeout, and releases sqlx's advisory lock, which sqlx
            // keeps after an error.
            lease.discard();
            done
        }
        Pools::Sqlite(pool, _) => {
            let mut lease = pool.writer.lease().await?;
            let connection = lease.connection()?;
            // sqlx takes no lock on SQLite. An immediate transaction around all migrations is one,
            // and makes them atomic. It must be sqlx's own, because the migrator begins others.
            let done = async {
                let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
                migrator.run(&mut *tx).await?;
                Ok(tx.commit().await?)
            };
            let done = done.await;
            if done.is_err() {
                lease.discard();
            }
            done
        }
    };
    done.map_err(|error| match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => SchemaError::Newer,
        MigrateError::VersionMismatch(version) => SchemaError::Changed(version),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
            // insufficient_privilege
            if code(&error).as_deref() == Some("42501") =>
        {
            SchemaError::NotAllowed
        }
        MigrateError::Execute(error) => SchemaError::Database(error.into()),
        error => SchemaError::Failed(Cause::new(error.to_string())),
    })
}

/// Checks that the schema is the one that this program knows.
pub async fn check_schema(db: &Db, migrator: &Migrator) -> Result<(), SchemaError> {
    let applied: BTreeMap<i64, Vec<u8>> = applied(db).await?.into_iter().collect();
    let known: BTreeMap<i64, &Migration> =
        applicable(db, migrator).map(|migration| (migration.version, migration)).collect();
    if applied.keys().any(|version| !known.contains_key(version)) {
        return Err(SchemaError::Newer);
    }
    for (version, migration) in known {
        match applied.get(&version) {
            None => return Err(SchemaError::Older),
            Some(checksum) if *checksum != *migration.checksum => {
                return Err(SchemaError::Changed(version));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn applicable<'m>(db: &Db, migrator: &'m Migrator) -> impl Iterator<Item = &'m Migration> {
    let other = match db.backend() {
        Backend::Postgres => ".sqlite",
        Backend::Sqlite => ".postgres",
    };
    migrator.iter().filter(move |migration| !migration.description.ends_with(other))
}

/// Returns versions and checksums of the applied migrations; none if no migration ever ran.
async fn applied(db: &Db) -> Result<Vec<(i64, Vec<u8>)>, SchemaError> {
    // The table in which sqlx keeps the history. Each database has its own check for a table.
    let exists = match db.backend() {
        Backend::Postgres => {
            "SELECT CAST(1 AS bigint) WHERE to_regclass('_sqlx_migrations') IS NOT NULL"
        }
        Backend::Sqlite => "SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'",
    };
    let exists: Option<(i64,)> = db.fetch_optional(Query::new(exists)).await?;
    if exists.is_none() {
        return Ok(Vec::new());
    }
    let applied = Query::new("SELECT version, checksum FROM _sqlx_migrations WHERE success");
    Ok(db.fetch_all(applied).await?)
}
