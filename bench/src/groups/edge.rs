//! The gateway alone and other gateways, in front of a service that responds from memory.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clinic_clock::Clock;
use clinic_identity::KeyDir;

use super::{Stage as _, get_patient, load_patient};
use crate::call::{Protocol, Target};
use crate::measure::{Case, contest};
use crate::peers::{NGINX, Peer};
use crate::process::{Server, Watched};
use crate::report::Report;
use crate::setting::Setting;
use crate::tokens;

pub(crate) const GROUP: &str = "edge";
pub(crate) const OURS: &str = "clinic-gateway";

pub(crate) fn name(who: &str, protocol: Protocol) -> String {
    format!("{who}, {}", protocol.name())
}

/// A gateway in front of a service that responds from memory.
pub(crate) struct Stage {
    keys: KeyDir,
    access: String,
    upstream: Server,
    gateway: Server,
}

pub(crate) async fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let stage = Stage::start(setting).await?;
    let peers = Peer::start_all(setting, report, &stage.keys, stage.upstream.address)?;
    for (protocol, case) in Protocol::ALL.into_iter().zip(stage.cases()) {
        let mut cases = vec![case];
        for peer in &peers {
            if let Some(address) = peer.address(protocol) {
                // nginx checks no tokens.
                if peer.name != NGINX {
                    stage.probe_refusal(address, protocol).await.context(peer.name)?;
                }
                cases.push(stage.case(peer.name, address, protocol, peer.process.watched()));
            }
        }
        contest(report, GROUP, cases).await?;
    }
    for peer in peers {
        peer.process.stop()?;
    }
    stage.stop().await
}

impl Stage {
    pub(crate) async fn start(setting: &Setting) -> Result<Self> {
        let keys = KeyDir::new(setting.folder("edge")?.join("keys"));
        keys.init(&Clock::system())?;
        let access = tokens::access(&keys)?;
        let upstream = Server::memory(setting, &keys)?;
        let gateway = Server::gateway(setting, &keys, [&upstream; 3])?;
        let stage = Self { keys, access, upstream, gateway };
        for protocol in Protocol::ALL {
            stage.probe_refusal(stage.gateway.address, protocol).await.context(OURS)?;
        }
        Ok(stage)
    }

    /// Checks that a forged token is refused.
    async fn probe_refusal(&self, address: SocketAddr, protocol: Protocol) -> Result<()> {
        // Changes the first letter of the signature.
        let (signed, signature) = self.access.rsplit_once('.').unwrap_or_default();
        let letter = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{signed}.{letter}{}", signature.get(1..).unwrap_or_default());
        get_patient(&Target::gateway(address, protocol, &forged), 0).probe_refusal().await
    }

    fn case(
        &self,
        who: &str,
        address: SocketAddr,
        protocol: Protocol,
        watched: Watched,
    ) -> Case<'_> {
        let target = Target::gateway(address, protocol, &self.access);
        let watched = vec![watched, self.upstream.watched()];
        Case::new(name(who, protocol), watched, move |time| load_patient(target.clone(), 0, time))
    }
}

impl super::Stage for Stage {
    const GROUP: &'static str = GROUP;
    const TURNS: u32 = 3;

    /// Returns one case per protocol.
    fn cases(&self) -> Vec<Case<'_>> {
        let Server { address, .. } = self.gateway;
        let ours = |protocol| self.case(OURS, address, protocol, self.gateway.watched());
        Protocol::ALL.map(ours).into()
    }

    async fn stop(self) -> Result<()> {
        self.gateway.process.stop()?;
        self.upstream.process.stop()
    }
}
