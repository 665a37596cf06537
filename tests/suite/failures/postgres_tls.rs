//! TLS to PostgreSQL with verification of its certificate, as operators should configure it.

use clinic_store::{Db, Options};
use clinic_testkit::{Backend, postgres_server, run_with};
use secrecy::ExposeSecret as _;
use sqlx::{Connection as _, PgConnection};

fn verified_by(authority: &std::path::Path) -> String {
    let server = postgres_server();
    let server = server.expose_secret();
    format!("{server}?sslmode=verify-full&sslrootcert={}", authority.display())
}

mod every_connection_to_a_verified_postgres_uses_tls {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        let authority = std::env::var("CLINIC_TEST_POSTGRES_CA").unwrap();
        let url = verified_by(authority.as_ref()).into();
        let configure = |config: &mut clinic::Config| config.databases.database_url = Some(url);
        run_with(Backend::Postgres, configure, async |suite| {
            suite.patient().await;
            let connections = "SELECT COUNT(*) FILTER (WHERE ssl), COUNT(*) \
                               FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                               WHERE starts_with(datname, $1)";
            let mut postgres =
                PgConnection::connect(postgres_server().expose_secret()).await.unwrap();
            let (with_tls, all): (i64, i64) = sqlx::query_as(connections)
                .bind(&suite.databases.database_prefix)
                .fetch_one(&mut postgres)
                .await
                .unwrap();
            assert!(all > 0);
            assert_eq!(with_tls, all);
        })
        .await;
    }
}

mod a_postgres_certificate_of_an_unknown_authority_is_refused {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let stranger = rcgen::generate_simple_self_signed(names).unwrap().cert;
        let authority = folder.path().join("ca.crt");
        std::fs::write(&authority, stranger.pem()).unwrap();
        let url = verified_by(&authority);
        let error = Db::connect(&Options::new(url)).await.err().unwrap().to_string();
        assert!(error.starts_with("no TLS connection to PostgreSQL at 127.0.0.1:"), "{error}");
        assert!(error.contains("check sslmode and sslrootcert"), "{error}");
    }
}
