//! Ports at which nobody answers until a test says so, and which nobody else can take meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use clinic_net::settings::{Keys, Serving};
use clinic_server::settings::{Answers, Database};
use clinic_testkit::Suite;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

/// A port of this machine. While a socket is bound to it but does not listen, a connection is
/// refused, and no other program gets the port.
pub(crate) struct Port {
    address: SocketAddr,
    /// Holds the port; several sockets may, as long as none of them listens.
    held: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let held = socket("127.0.0.1:0".parse().unwrap());
        Self { address: held.local_addr().unwrap(), held }
    }

    pub(crate) fn number(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers from now on, until the listener is dropped.
    pub(crate) fn listen(&self) -> TcpListener {
        assert_eq!(self.held.local_addr().unwrap(), self.address);
        socket(self.address).listen(1024).unwrap()
    }
}

fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// Another records over the suite's database, at that port, until it is cancelled.
pub(crate) async fn records_at(suite: &Suite, port: &Port) -> CancellationToken {
    let config = clinic_records::Config {
        serving: Serving {
            shutdown_delay: Duration::ZERO,
            shutdown_grace: Duration::from_millis(200),
        },
        answers: Answers { compress_over: 0 },
        keys: Keys { keys_dir: suite.keys().path().to_owned() },
        database: Database {
            database_url: suite.databases.url("records"),
            database_connections: 2,
        },
        doctor_patient_view: clinic_records::DoctorPatientView::Basic,
    };
    let server = clinic_records::open(&config, suite.clock.clone()).await.unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(server.run(port.listen(), shutdown.clone()));
    shutdown
}
