//! Finds the client's address behind proxies.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::config;

/// Proxies whose X-Forwarded-For is trusted.
pub(crate) struct Proxies {
    /// Whether every direct peer is a trusted proxy.
    direct: bool,
    networks: Vec<IpNet>,
}

impl Proxies {
    pub(crate) fn new(settings: &config::PublicSettings) -> Self {
        Self { direct: settings.behind_proxy, networks: settings.trusted_proxies.clone() }
    }

    /// Returns the client's address: the last X-Forwarded-For entry, skipping trusted proxies. From
    /// any other peer the header is ignored.
    pub(crate) fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.direct && !self.is_trusted(client) {
            return client;
        }
        let values = headers.get_all("x-forwarded-for").iter().rev();
        let entries = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        for entry in entries {
            let Some(address) = address(entry.trim()) else { break };
            client = address;
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Parses an entry of X-Forwarded-For; some proxies add a port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    let with_port = || entry.parse().map(|address: SocketAddr| address.ip());
    Some(bare.parse().or_else(|_| with_port()).ok()?.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(direct: bool, networks: &[&str], forwarded: &[&str], peer: &str) -> String {
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        Proxies { direct, networks }.client(&headers, peer.parse().unwrap()).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_the_peer_is_the_client() {
        assert_eq!(client(false, &[], &["1.1.1.1"], "9.9.9.9"), "9.9.9.9");
        assert_eq!(client(false, &["10.0.0.0/8"], &["1.1.1.1"], "9.9.9.9"), "9.9.9.9");
    }

    #[test]
    fn behind_a_proxy_the_last_entry_counts_and_no_other() {
        assert_eq!(client(true, &[], &["6.6.6.6, 1.1.1.1"], "9.9.9.9"), "1.1.1.1");
        assert_eq!(client(true, &[], &["6.6.6.6", "1.1.1.1"], "9.9.9.9"), "1.1.1.1");
        assert_eq!(client(true, &[], &[], "9.9.9.9"), "9.9.9.9");
        assert_eq!(client(true, &[], &["1.1.1.1, soon"], "9.9.9.9"), "9.9.9.9");
    }

    #[test]
    fn trusted_proxies_are_passed_one_after_the_other() {
        let networks = ["10.0.0.0/8", "fd00::/8"];
        let client = |forwarded: &[&str], peer| client(false, &networks, forwarded, peer);
        assert_eq!(client(&["6.6.6.6, 1.1.1.1, 10.0.0.2"], "10.0.0.1"), "1.1.1.1");
        assert_eq!(client(&["6.6.6.6, 1.1.1.1", "10.0.0.2"], "fd00::1"), "1.1.1.1");
        assert_eq!(client(&["10.0.0.3"], "10.0.0.1"), "10.0.0.3");
    }

    #[test]
    fn addresses_may_be_written_with_a_port_and_as_ipv6() {
        for (entry, address) in [
            ("1.1.1.1:5000", "1.1.1.1"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:1.1.1.1", "1.1.1.1"),
        ] {
            assert_eq!(client(true, &[], &[entry], "9.9.9.9"), address, "{entry}");
        }
    }
}
