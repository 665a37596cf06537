//! Runs the program in a separate folder and with a separate environment.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clinic_proto::auth::v1::{LoginRequest, LoginResponse};
use clinic_testdb::{Backend, Fixture, drop_databases, postgres_server, unique_name};
use clinic_testkit::Clients;
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tonic::Status;

/// Longer than any start or shutdown takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ADMIN: &str = "admin@clinic.local";

pub(crate) struct Operator {
    folder: TempDir,
    /// URL of the server, and prefix of the database names.
    postgres: Option<(String, String)>,
}

/// Exit status and output of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Fixture for Operator {
    async fn set_up(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::with_sqlite(),
            Backend::Postgres => Self::with_postgres(),
        }
    }

    async fn tear_down(self) {
        self.drop_databases().await;
    }
}

impl Operator {
    pub(crate) fn with_sqlite() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), postgres: None }
    }

    pub(crate) fn with_postgres() -> Self {
        let server = postgres_server().expose_secret().to_owned();
        Self { postgres: Some((server, format!("{}_", unique_name()))), ..Self::with_sqlite() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn databases(&self) -> clinic::Databases {
        clinic::Databases {
            data_dir: self.path("data"),
            database_url: self.postgres.as_ref().map(|(server, _)| server.as_str().into()),
            database_prefix: self.postgres.as_ref().map_or("clinic_", |(_, p)| p.as_str()).into(),
        }
    }

    /// Returns a command for the program in the operator's folder. Its environment has only the
    /// location of the databases, and no shutdown delay, which is for load balancers.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinic"));
        command.current_dir(self.folder.path()).env_clear().args(arguments);
        command.env("CLINIC_SHUTDOWN_DELAY", "0s");
        if let Some((server, prefix)) = &self.postgres {
            command.env("DATABASE_URL", server).env("CLINIC_DATABASE_PREFIX", prefix);
        }
        command
    }

    /// Runs a command until it ends.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run_to_end(&mut self.command(arguments), "")
    }

    /// Starts `clinic up` on a free port, and waits until it is ready.
    pub(crate) fn up(&self, arguments: &[&str]) -> Running {
        let arguments = [&["up", "--listen", "127.0.0.1:0"], arguments].concat();
        Running::start(&mut self.command(&arguments))
    }

    /// Returns a command for a shell script in the operator's folder.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.current_dir(self.folder.path()).env_clear().args(["-c", script]);
        command
    }

    /// Returns an operator with another folder and the same PostgreSQL databases.
    pub(crate) fn beside(&self) -> Self {
        Self { postgres: self.postgres.clone(), ..Self::with_sqlite() }
    }

    /// Returns the name of a service's PostgreSQL database.
    pub(crate) fn database(&self, service: &str) -> String {
        let (_, prefix) = self.postgres.as_ref().unwrap();
        format!("{prefix}{service}")
    }

    /// Runs a statement on the server as its administrator.
    pub(crate) async fn sql(&self, sql: &str) {
        let (server, _) = self.postgres.as_ref().unwrap();
        let mut connection = PgConnection::connect(server).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// Creates a PostgreSQL user without any privileges.
    pub(crate) async fn create_user(&self) -> User {
        let (server, _) = self.postgres.as_ref().unwrap();
        let name = self.database("user");
        self.sql(&format!("CREATE ROLE {name} LOGIN")).await;
        let (scheme, rest) = server.split_once("://").unwrap();
        let (_, host) = rest.rsplit_once('@').unwrap();
        User { url: format!("{scheme}://{name}@{host}"), name }
    }

    pub(crate) async fn drop_databases(&self) {
        if let Some((server, _)) = &self.postgres {
            let names = clinic::SERVICES.map(|(service, _)| self.database(service));
            drop_databases(&server.as_str().into(), names).await;
        }
    }
}

/// A user of PostgreSQL.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) url: String,
}

/// Runs a command with `input` on its standard input, until it ends.
pub(crate) fn run_to_end(command: &mut Command, input: &str) -> Ended {
    let mut child = piped(command).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let status = wait(&mut child, PATIENCE);
    Ended { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

/// Sends SIGTERM.
pub(crate) fn tell_to_end(child: &Child) {
    signal(child, "TERM");
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

pub(crate) fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > patience {
            child.kill().unwrap();
            panic!("the program does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running program that is ready.
pub(crate) struct Running {
    child: Child,
    /// Lines on stdout before the one that reports readiness.
    pub(crate) said: Vec<String>,
    /// `http` or `https`.
    pub(crate) scheme: String,
    pub(crate) address: SocketAddr,
    stdout: Receiver<String>,
    stderr: Log,
}

/// Output of a program on stderr.
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn of(stderr: ChildStderr) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let into = text.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let mut text = into.lock().unwrap();
                text.push_str(&line.unwrap());
                text.push('\n');
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until the program has ended. Returns its whole output.
    fn whole(&mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.so_far()
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = piped(command).spawn().unwrap();
        let mut stderr = Log::of(child.stderr.take().unwrap());
        let (tell, stdout) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.for_each(|line| tell.send(line.unwrap()).unwrap_or(())));
        let mut said = Vec::new();
        loop {
            let Ok(line) = stdout.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                panic!("the program does not start: {said:?}\n{}", stderr.whole());
            };
            let Some(url) = line.strip_prefix("clinic ready: ") else {
                said.push(line);
                continue;
            };
            let (scheme, address) = url.split_once("://").unwrap();
            let (scheme, address) = (scheme.to_owned(), address.parse().unwrap());
            return Self { child, said, scheme, address, stdout, stderr };
        }
    }

    /// Returns the password that the first start printed.
    pub(crate) fn admin_password(&self) -> &str {
        assert_eq!(self.said[0], format!("admin account: {ADMIN}"));
        self.said[1].strip_prefix("admin password: ").unwrap()
    }

    pub(crate) fn clients(&self, access: &str) -> Clients {
        Clients::new(|_| self.address, &[("authorization", &format!("Bearer {access}"))])
    }

    pub(crate) fn anonymous(&self) -> Clients {
        Clients::new(|_| self.address, &[])
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Result<LoginResponse, Status> {
        let request = LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            ..LoginRequest::default()
        };
        Ok(self.anonymous().auth.login(request).await?.into_inner())
    }

    /// Signs in, and returns the access token.
    pub(crate) async fn access(&self, email: &str, password: &str) -> String {
        self.login(email, password).await.unwrap().tokens.unwrap().access
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), None);
    }

    /// Waits until the log contains `text`.
    pub(crate) async fn wait_until_logged(&self, text: &str) {
        let began = Instant::now();
        while !self.stderr.so_far().contains(text) {
            assert!(began.elapsed() < PATIENCE, "{text}:\n{}", self.stderr.so_far());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Returns the HTTP status of GET.
    pub(crate) fn get(&self, path: &str) -> u16 {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).unwrap();
        response.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Sends SIGTERM, and waits until the program ends.
    pub(crate) fn terminate(self, patience: Duration) -> Ended {
        tell_to_end(&self.child);
        self.end(patience)
    }

    /// Waits until the program ends.
    pub(crate) fn end(mut self, patience: Duration) -> Ended {
        let status = wait(&mut self.child, patience);
        let stderr = self.stderr.whole();
        Ended { status, stdout: self.stdout.iter().collect::<Vec<_>>().join("\n"), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if the program has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
