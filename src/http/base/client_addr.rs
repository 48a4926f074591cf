//! Where a request comes from: the TCP peer, or whom a trusted proxy names in `Forwarded` or `X-Forwarded-For`.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address; in the extensions of every request that came over a connection. An IPv4 address is
/// never written as an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// The networks of the proxies that are believed. Without any, nothing in a header is.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// What is wrong with the setting. Positions count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustedProxiesError {
    #[error(
        "TENURE_TRUSTED_PROXIES, entry {entry}: {text:?} is neither an address nor a network as 10.0.0.0/8"
    )]
    NotANetwork { entry: usize, text: String },
    #[error("TENURE_TRUSTED_PROXIES, entry {entry}: {text} is everybody, and so everybody could be anybody")]
    Everybody { entry: usize, text: String },
}

impl TrustedProxies {
    /// Addresses and networks in CIDR notation, comma-separated.
    pub fn parse(setting: &str) -> Result<Self, TrustedProxiesError> {
        let entries = setting.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate();
        entries.map(|(index, text)| network(index + 1, text)).collect::<Result<_, _>>().map(Self)
    }

    /// The client of a request that came from `peer`: the last address a proxy has noted down that is not a
    /// proxy's own. Where it cannot be told, it is `peer`, as for a peer that is no trusted proxy.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddr {
        let peer = peer.to_canonical();
        ClientAddr(if self.trusts(peer) { self.named(headers).unwrap_or(peer) } else { peer })
    }

    /// A proxy that writes one of the two headers lets the client's own other one pass. So neither can be
    /// preferred: where both are there, they must name the same address.
    fn named(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let standard = headers.contains_key(FORWARDED).then(|| self.last_untrusted(&forwarded(headers)?));
        let common =
            headers.contains_key(X_FORWARDED_FOR).then(|| self.last_untrusted(&x_forwarded_for(headers)?));
        match (standard, common) {
            (Some(one), Some(other)) => one.filter(|_| one == other),
            (one, other) => one.or(other)?,
        }
    }

    /// `hops` begins at the client. If all of them are trusted, it is the first.
    fn last_untrusted(&self, hops: &[Hop]) -> Option<IpAddr> {
        let untrusted = hops.iter().rev().find(|hop| !hop.is_some_and(|hop| self.trusts(hop)));
        *untrusted.or(hops.first())?
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An IPv4 network written as an IPv6 one would match nothing: addresses are compared as what they are.
fn network(entry: usize, text: &str) -> Result<IpNet, TrustedProxiesError> {
    let single = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    let network = single().or_else(|| text.parse::<IpNet>().ok());
    match network.filter(|network| network.addr().to_canonical() == network.addr()) {
        None => Err(TrustedProxiesError::NotANetwork { entry, text: text.to_owned() }),
        Some(all) if all.prefix_len() == 0 => {
            Err(TrustedProxiesError::Everybody { entry, text: text.to_owned() })
        }
        Some(network) => Ok(network),
    }
}

/// A step on the way here; none where it is not told as an address (`unknown`, `_hidden`, or rubbish).
type Hop = Option<IpAddr>;

fn x_forwarded_for(headers: &HeaderMap) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        let steps = line.to_str().ok()?.split(',').map(str::trim);
        hops.extend(steps.filter(|step| !step.is_empty()).map(address));
    }
    Some(hops)
}

fn forwarded(headers: &HeaderMap) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    for line in headers.get_all(FORWARDED) {
        let steps = split_unquoted(line.to_str().ok()?, ',')?;
        for step in steps.into_iter().filter(|step| !step.is_empty()) {
            hops.push(forwarded_for(step)?);
        }
    }
    Some(hops)
}

/// The `for` of one step. None when it is malformed, or says `for` twice.
fn forwarded_for(step: &str) -> Option<Hop> {
    let mut found = None;
    for pair in split_unquoted(step, ';')? {
        let (name, value) = pair.split_once('=')?;
        if !name.eq_ignore_ascii_case("for") {
            continue;
        }
        let plain = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"')?,
            None => value,
        };
        if found.replace(address(plain)).is_some() {
            return None;
        }
    }
    Some(found.flatten())
}

/// Splits where no quoted text is; none if a quotation does not end. A proxy quotes the `Host` it was sent, so a
/// separator in there is the client's own.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(text[start..at].trim());
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    (!quoted).then_some(parts)
}

/// An address with or without a port, an IPv6 one with or without brackets.
fn address(text: &str) -> Hop {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
#[path = "client_addr_tests.rs"]
mod tests;
