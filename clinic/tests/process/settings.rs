//! Settings by flags, environment variables and `.env`.

use std::fs;
use std::io::{Read as _, Write as _};

use crate::operator::{ADMIN, Operator, Running, run_to_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_come_from_dotenv_then_the_environment_then_flags() {
    let operator = Operator::with_sqlite();
    let dotenv = "# where things are\nCLINIC_LISTEN=127.0.0.1:0\nCLINIC_DATA_DIR=by-dotenv\n";
    fs::write(operator.path(".env"), dotenv).unwrap();
    // Without a command the program runs `up`.
    let running = Running::start(&mut operator.command(&[]));
    running.access(ADMIN, running.admin_password()).await;
    assert!(operator.path("by-dotenv/auth.db").exists());
    running.kill();

    let running =
        Running::start(operator.command(&["up"]).env("CLINIC_DATA_DIR", "by-environment"));
    assert!(operator.path("by-environment/auth.db").exists());
    running.kill();

    let mut command = operator.command(&["up", "--data-dir", "by-flag"]);
    let running = Running::start(command.env("CLINIC_DATA_DIR", "by-neither"));
    assert!(operator.path("by-flag/auth.db").exists());
    assert!(!operator.path("by-neither").exists() && !operator.path("data").exists());
    running.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_without_a_command_are_those_of_up() {
    let operator = Operator::with_sqlite();
    let alone = ["--log", "warn", "--listen", "127.0.0.1:0", "--data-dir", "elsewhere"];
    let running = Running::start(&mut operator.command(&alone));
    running.access(ADMIN, running.admin_password()).await;
    running.kill();
    assert!(operator.path("elsewhere/auth.db").exists());

    let refused = operator.run(&["--no-such-flag"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("'--no-such-flag'"), "{refused:?}");
    assert!(refused.stderr.contains("clinic up"), "{refused:?}");
    let refused = operator.run(&["keys", "init", "--listen", "127.0.0.1:0"]);
    assert!(refused.stderr.contains("unexpected argument '--listen'"), "{refused:?}");
    let version = operator.run(&["--version"]);
    assert!(version.status.success() && version.stdout.starts_with("clinic "), "{version:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yes_and_no_may_be_written_as_people_do() {
    let operator = Operator::with_sqlite();
    for (word, behind_proxy) in
        [("1", true), ("true", true), ("YES", true), ("0", false), ("no", false)]
    {
        let mut command = operator.command(&["up", "--listen", "127.0.0.1:0"]);
        let running = Running::start(command.env("CLINIC_BEHIND_PROXY", word));
        let mut connection = std::net::TcpStream::connect(running.address).unwrap();
        connection
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert_eq!(
            response.contains("strict-transport-security"),
            behind_proxy,
            "{word}: {response}"
        );
        running.kill();
    }
    let mut command = operator.command(&["up"]);
    let refused = run_to_end(command.env("CLINIC_BEHIND_PROXY", "perhaps"), "");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn a_dotenv_that_cannot_be_read_is_said_and_not_guessed_at() {
    let operator = Operator::with_sqlite();
    for (dotenv, says) in [
        ("this is = no \"setting\n", "line 1 of .env is not of the form NAME=VALUE"),
        ("CLINIC_LOG=info\n\n# s3cret\nPASSWORD s3cret\n", "line 4 of .env is not"),
        ("\u{feff}A=1\r\nB='s3cret\r\n\r\nC=1\r\n", "line 2 of .env is not"),
        ("A=1\nDATABASE_URL=postgres://u:s3cret word@h\n", "line 2 of .env is not"),
    ] {
        fs::write(operator.path(".env"), dotenv).unwrap();
        let refused = operator.run(&["up"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            refused.stderr.starts_with("error: ") && refused.stderr.contains(says),
            "{refused:?}"
        );
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        assert!(!refused.stderr.contains("s3cret"), "{refused:?}");
    }
    fs::write(operator.path(".env"), b"A=\xff\n").unwrap();
    let refused = operator.run(&["up"]);
    assert!(refused.stderr.starts_with("error: .env cannot be read"), "{refused:?}");
    assert!(!operator.path("data").exists());
}

#[test]
fn a_dotenv_of_a_folder_above_is_somebody_elses() {
    let operator = Operator::with_sqlite();
    fs::write(operator.path(".env"), "CLINIC_DATA_DIR=by-parent\n").unwrap();
    fs::create_dir(operator.path("within")).unwrap();
    let migrated =
        run_to_end(operator.command(&["migrate"]).current_dir(operator.path("within")), "");
    assert!(migrated.status.success(), "{migrated:?}");
    assert!(operator.path("within/data/auth.db").exists());
    assert!(!operator.path("within/by-parent").exists());
}

#[test]
fn help_names_every_setting_and_shows_no_secret() {
    let operator = Operator::with_sqlite();
    let mut command = operator.command(&["up", "--help"]);
    let secret = "postgres://user:s3cret-word@localhost";
    let help = run_to_end(command.env("DATABASE_URL", secret), "");
    assert!(help.status.success());
    assert!(!help.stdout.contains("s3cret-word"), "{help:?}");
    for setting in [
        "--listen",
        "--data-dir",
        "--database-url",
        "--access-ttl",
        "--refresh-ttl",
        "--route",
        "--cors-origin",
        "--tls-cert",
        "--registration-roles",
        "--doctor-patient-view",
        "CLINIC_LISTEN",
        "CLINIC_DATA_DIR",
        "DATABASE_URL",
        "CLINIC_LOG",
    ] {
        assert!(help.stdout.contains(setting), "{setting}");
    }
}

#[test]
fn a_misspelled_environment_variable_is_logged_by_its_name() {
    let operator = Operator::with_sqlite();
    let mut command = operator.command(&["migrate"]);
    let done = run_to_end(command.env("CLINIC_ISUER", "s3cret").env("CLINIC_TEST_X", "1"), "");
    assert!(done.status.success() && done.stderr.contains("CLINIC_ISUER"), "{done:?}");
    assert!(!done.stderr.contains("s3cret") && !done.stderr.contains("CLINIC_TEST_X"), "{done:?}");
}
