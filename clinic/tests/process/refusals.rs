//! Commands that fail print an error that says what to do. They exit with 2 for invalid flags, and
//! otherwise with 1.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use clinic_clock::Clock;
use clinic_net::settings::{Keys, Serving};
use clinic_server::settings::{Common, Database, Responses};

use crate::operator::{Ended, Operator, run_to_end};

/// Asserts that a command exited with 1, printed nothing on stdout, and printed one line on stderr,
/// which begins with `error:` and contains `says`.
fn assert_one_sentence(refused: &Ended, says: &str) {
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(refused.stdout, "", "{refused:?}");
    let lines: Vec<_> = refused.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{refused:?}");
    assert!(lines[0].starts_with("error: ") && lines[0].contains(says), "{says}: {refused:?}");
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let operator = Operator::with_sqlite();
    let refused = operator.run(&["up", "--listen", &address]);
    assert_one_sentence(&refused, "is already in use: stop the other program");
    assert_one_sentence(&refused, "choose another address with --listen");
    assert!(!operator.path("data").exists(), "the data directory was created");
    for nowhere in ["nonsense", "127.0.0.1", "192.0.2.1:0", "127.0.0.1:99999"] {
        let refused = operator.run(&["up", "--listen", nowhere]);
        assert_one_sentence(&refused, "give --listen as HOST:PORT of this machine");
    }
}

#[test]
fn a_data_directory_that_cannot_be_created_is_refused() {
    let operator = Operator::with_sqlite();
    fs::write(operator.path("file"), "in the way").unwrap();
    // Not even root can write to /proc.
    for directory in ["file", "file/data", "/proc/clinic/data"] {
        let refused = operator.run(&["up", "--listen", "127.0.0.1:0", "--data-dir", directory]);
        assert_one_sentence(&refused, "the data directory");
        assert_one_sentence(&refused, "--data-dir");
    }
}

#[test]
fn a_data_directory_with_unusable_contents_is_refused() {
    let operator = Operator::with_sqlite();
    let up = ["up", "--listen", "127.0.0.1:0"];
    fs::create_dir_all(operator.path("data/auth.db")).unwrap();
    let refused = operator.run(&up);
    assert_one_sentence(&refused, "the data directory ./data cannot be written");

    let operator = Operator::with_sqlite();
    fs::create_dir_all(operator.path("data")).unwrap();
    fs::write(operator.path("data/keys"), "in the way").unwrap();
    assert_one_sentence(&operator.run(&up), "data/keys");

    let operator = Operator::with_sqlite();
    fs::create_dir_all(operator.path("data")).unwrap();
    let file = operator.path("data/records.db");
    fs::write(&file, "this is no database, but long enough".repeat(100)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_one_sentence(&operator.run(&up), "restore it from a backup");
}

#[test]
fn a_database_file_that_other_users_can_read_is_refused() {
    let operator = Operator::with_sqlite();
    operator.run(&["migrate"]);
    let file = operator.path("data/records.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let up = ["up", "--listen", "127.0.0.1:0"];
    assert_one_sentence(&operator.run(&up), "(mode 0644): run `chmod 600 ./data/records.db`");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    operator.up(&[]).terminate(Duration::from_secs(30));
}

#[test]
fn a_limit_of_open_files_that_is_too_low_is_refused() {
    let operator = Operator::with_sqlite();
    let program = operator.command(&[]).get_program().to_owned();
    let mut limited = operator.shell("ulimit -n 100 && exec \"$0\" up --listen 127.0.0.1:0");
    let refused = run_to_end(limited.arg(program), "");
    assert_one_sentence(&refused, "may open only 100 files and needs 256");
    assert!(!operator.path("data").exists(), "the data directory was created");
}

#[tokio::test]
async fn a_user_who_may_not_create_databases_is_told_what_to_do() {
    let operator = Operator::with_postgres();
    let user = operator.create_user().await;
    let migrate = |url: &str| operator.run(&["migrate", "--database-url", url]);
    let refused = migrate(&user.url);
    assert_one_sentence(&refused, &format!("createdb --owner {}", user.name));
    // Each database has the wrong owner at first, to see that error as well. `migrate` then fails for
    // the next database, which is still missing.
    for service in ["auth", "records", "assignment"] {
        let database = operator.database(service);
        operator.sql(&format!("CREATE DATABASE {database} OWNER postgres")).await;
        assert_one_sentence(&migrate(&user.url), "make it the owner of the database");
        operator.sql(&format!("ALTER DATABASE {database} OWNER TO {}", user.name)).await;
        migrate(&user.url);
    }
    let done = operator.run(&["migrate", "--only", "auth", "--database-url", &user.url]);
    assert_eq!(done.stdout, "auth: the schema is up to date\n", "{done:?}");
    assert_eq!(migrate(&user.url).status.code(), Some(0));
    operator.drop_databases().await;
    operator.sql(&format!("DROP ROLE {}", user.name)).await;
}

#[test]
fn keys_that_other_users_can_read_or_that_are_malformed_are_refused() {
    let operator = Operator::with_sqlite();
    operator.run(&["keys", "init", "--keys-dir", "data/keys"]);
    let keys = fs::read_dir(operator.path("data/keys/access")).unwrap();
    let key = keys.map(|entry| entry.unwrap().path()).next().unwrap();
    let up = ["up", "--listen", "127.0.0.1:0"];
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_one_sentence(&operator.run(&up), "is open to other users: run `chmod 600");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "s3cret-word").unwrap();
    let refused = operator.run(&up);
    assert_one_sentence(&refused, "is not a usable key file");
    assert!(!refused.stderr.contains("s3cret-word"), "{refused:?}");
}

#[test]
fn a_database_url_that_is_invalid_or_does_not_answer_is_refused() {
    let operator = Operator::with_sqlite();
    for (url, says) in [
        ("mysql://u:s3cret-word@127.0.0.1", "must be postgres://"),
        ("nonsense", "must be postgres://"),
        ("sqlite:clinic.db", "leave it out for SQLite"),
        ("postgres://u:s3cret-word@127.0.0.1:port", "cannot be read"),
        ("postgres://u:s3cret-word@127.0.0.1/?sslmod=require", "unknown parameter, sslmod"),
        ("postgres://u:s3cret-word@127.0.0.1/?sslmode=on", "must be disable, allow, prefer"),
        ("postgres://u:s3cret-word@one,two", "names several hosts"),
        ("postgres://u:s3cret-word@one:5432,two:5432/x", "names several hosts"),
        ("postgres://u@/x?host=one,two&password=s3cret-word", "names several hosts"),
        ("postgres://u:what?s3cret-word@127.0.0.1", "%3F for ?"),
        ("postgres://u:what?s3cret-word&x@127.0.0.1", "%3F for ?"),
        ("postgres://u:what?s3cret-word=y@127.0.0.1", "%3F for ?"),
        ("postgres://u:p@s3cret-word/x#%1@127.0.0.1", "%40 for @"),
        ("postgres://u:s3cret-word@127.0.0.1/clinic_auth", "names the database clinic_auth"),
        ("postgres://u:s3cret-word@127.0.0.1:1", "does not answer at 127.0.0.1:1"),
    ] {
        for command in [
            &["up", "--listen", "127.0.0.1:0"][..],
            &["migrate"],
            &["admin", "create", "--email", "boss@example.com"],
        ] {
            let refused = operator.run(&[command, &["--database-url", url]].concat());
            assert_one_sentence(&refused, says);
            assert!(!refused.stderr.contains("s3cret-word"), "{refused:?}");
            // Only this error, the last of the list, comes after the data directory is created.
            let is_created = says.contains("does not answer");
            assert!(
                is_created || !operator.path("data").exists(),
                "the data directory was created"
            );
        }
    }
}

#[test]
fn settings_that_fail_after_parsing_exit_with_1() {
    let operator = Operator::with_sqlite();
    for (arguments, says) in [
        (&["--log", "clinic=noise"][..], "is not of the form"),
        (&["--log", "warning"], "is not of the form"),
        (&["--tls-cert", "none.crt", "--tls-key", "none.key"], "none.crt"),
        (
            &["--route", "a.B=http://127.0.0.1:1", "--route", "a.B=http://127.0.0.1:2"],
            "give each service one --route",
        ),
    ] {
        let arguments = [&["up", "--listen", "127.0.0.1:0"], arguments].concat();
        let refused = operator.run(&arguments);
        // Warnings may precede the error.
        let last = refused.stderr.lines().last().unwrap_or_default();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(last.starts_with("error: ") && last.contains(says), "{says}: {refused:?}");
        assert!(!refused.stdout.contains("ready"), "{refused:?}");
    }
    assert!(!operator.path("data").exists(), "the data directory was created");
}

#[test]
fn invalid_flags_exit_with_2() {
    let operator = Operator::with_sqlite();
    for (arguments, says) in [
        (&["--access-ttl", "soon"][..], "--access-ttl"),
        (&["--access-ttl", "0s"], "must be 1s to 366d"),
        (&["--refresh-ttl", "367d"], "must be 1s to 366d"),
        (&["--shutdown-grace", "10"], "is not of the form 500ms"),
        (&["--registration-roles", "staff,admin"], "must be staff, doctor or patient"),
        (&["--doctor-patient-view", "all"], "basic"),
        (
            &["--cors-origin", "app.example"],
            "must be a scheme and a host in lower case, such as https://",
        ),
        (&["--cors-origin", "*"], "must be a scheme and a host in lower case, such as https://"),
        (&["--issuer", ""], "--issuer"),
        (&["--database-prefix", "Clinic-"], "only a to z, 0 to 9 and _"),
        (&["--database-connections", "0"], "0 is not in 1.."),
        (&["--max-connections", "0"], "0 is not in 1.."),
        (&["--max-message-bytes", "0"], "0 is not in 1.."),
        (&["--default-deadline", "0s"], "must be more than 0"),
        (&["--max-deadline", "0ms"], "must be more than 0"),
        (&["--route", "a.B=127.0.0.1:1"], "is not of the form http://HOST:PORT"),
        (&["--route", "nonsense"], "package.v1.Service=http://HOST:PORT"),
        (&["--route", "clinic.auth.v1.AuthService=http://x"], "is reserved"),
        (&["--tls-cert", "a.crt"], "--tls-key"),
        (&["--max-message-bytes=-1"], "--max-message-bytes"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let refused = operator.run(&[&["up", "--listen", "127.0.0.1:0"], arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(refused.stderr.starts_with("error: "), "{refused:?}");
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    }
    let mut command = operator.command(&["migrate", "--database-url", "postgres://u@127.0.0.1:1"]);
    let refused = run_to_end(command.env("PGSSLMODE", "requre"), "");
    assert!(refused.stderr.contains("PGSSLMODE"), "{refused:?}");
    let mut command = operator.command(&["up"]);
    let refused = run_to_end(command.env("CLINIC_ACCESS_TTL", "soon"), "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(!operator.path("data").exists());
}

#[tokio::test]
async fn an_invalid_url_of_records_is_refused_before_a_database_is_created() {
    let operator = Operator::with_sqlite();
    let clock = Clock::system();
    let keys = Keys { keys_dir: operator.path("keys") };
    keys.open().init(&clock).unwrap();
    let common = |service| Common {
        serving: Serving { shutdown_delay: Duration::ZERO, shutdown_grace: Duration::from_secs(1) },
        responses: Responses { compress_over: 0 },
        keys: keys.clone(),
        database: Database {
            database_url: operator.databases().url(service),
            database_connections: 1,
        },
    };
    let auth = clinic_auth::Config {
        common: common("auth"),
        records_url: "records:50052".to_owned(),
        settings: clinic_auth::Settings {
            issuer: "clinic".to_owned(),
            access_ttl: Duration::from_secs(900),
            refresh_ttl: Duration::from_secs(3600),
            registration_roles: Vec::new(),
        },
    };
    let assignment = clinic_assignment::Config {
        common: common("assignment"),
        records_url: auth.records_url.clone(),
    };
    let auth = clinic_auth::open(&auth, clock.clone()).await.err().unwrap();
    let assignment = clinic_assignment::open(&assignment, clock).await.err().unwrap();
    for error in [auth, assignment] {
        assert!(error.to_string().contains("the URL of records"), "{error:#}");
    }
    assert!(!operator.path("data").exists(), "the data directory was created");
}
