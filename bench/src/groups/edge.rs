//! The gateway alone, before a service that answers from memory, beside what others would use.

use anyhow::{Context as _, Result};
use clinic_clock::Clock;
use clinic_identity::KeyDir;
use clinic_proto::records::v1::Patient;

use super::{GET_PATIENT, get_patient, is_patient, load};
use crate::call::{Call, Credential, Protocol};
use crate::measure::{Case, Watched, contest};
use crate::peers::{NGINX, Peer};
use crate::report::Report;
use crate::setting::Setting;
use crate::suite::Server;
use crate::tokens;

pub(crate) const GROUP: &str = "edge";
pub(crate) const OURS: &str = "clinic-gateway";

pub(crate) fn name(who: &str, protocol: Protocol) -> String {
    format!("{who}, {}", protocol.name())
}

pub(crate) async fn run(setting: &Setting, report: &mut Report) -> Result<()> {
    let keys = KeyDir::new(setting.folder("edge")?.join("keys"));
    keys.init(&Clock::system())?;
    let access = tokens::access(&keys)?;
    let upstream = Server::memory(setting, &keys)?;
    let url = upstream.url();
    let gateway = Server::gateway(setting, &keys, (&url, &url, &url))?;
    let peers = Peer::start_all(setting, report, &keys, upstream.address)?;

    for protocol in Protocol::ALL {
        let mut contestants = vec![(OURS, gateway.address, gateway.watched())];
        for peer in &peers {
            if let Some(address) = peer.address(protocol) {
                contestants.push((peer.name, address, Watched::from(&peer.process)));
            }
        }
        for (who, address, _) in contestants.iter().filter(|(who, ..)| *who != NGINX) {
            // Another letter at the beginning of the signature.
            let (signed, signature) = access.rsplit_once('.').unwrap_or_default();
            let letter = if signature.starts_with('A') { "B" } else { "A" };
            let forged = format!("{signed}.{letter}{}", signature.get(1..).unwrap_or_default());
            let credential = Credential::Bearer(forged);
            let (message, address) = (get_patient(0), *address);
            let call = Call { protocol, address, method: GET_PATIENT, credential, message };
            call.probe_refusal().await.context(*who)?;
        }
        let cases = contestants.into_iter().map(|(who, address, watched)| {
            let access = access.clone();
            Case::new(name(who, protocol), vec![watched, upstream.watched()], move |time| {
                let credential = Credential::Bearer(access.clone());
                let message = get_patient(0);
                let call = Call { protocol, address, method: GET_PATIENT, credential, message };
                async move { load::<Patient>(call, is_patient(0), time).await }
            })
        });
        contest(report, GROUP, setting.effort, cases.collect()).await?;
    }
    for peer in peers {
        peer.process.stop()?;
    }
    gateway.process.stop()?;
    upstream.process.stop()
}
