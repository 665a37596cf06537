//! Ports that refuse connections until a test listens, and that no other program can take.

use std::net::SocketAddr;

use clinic_testkit::Suite;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

/// A local port. While a socket is bound to it but does not listen, connections are refused, and no
/// other program gets the port.
pub(crate) struct Port {
    address: SocketAddr,
    /// Holds the port. Several sockets can hold it, as long as none of them listens.
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

    /// Accepts connections from now on, until the listener is dropped.
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

/// Starts another records service on the suite's database, at this port, until it is cancelled.
pub(crate) async fn records_at(suite: &Suite, port: &Port) -> CancellationToken {
    let config = clinic_records::Config {
        common: suite.replica_settings("records"),
        doctor_patient_view: clinic_records::DoctorPatientView::Basic,
    };
    let server = clinic_records::open(&config, suite.clock.clone()).await.unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(server.run(port.listen(), shutdown.clone()));
    shutdown
}
