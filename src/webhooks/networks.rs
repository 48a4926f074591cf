//! Which addresses a webhook may reach: those of the public internet, and the networks an operator allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is not the public internet, by IANA's registry of special-purpose addresses.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    // Between a carrier and its customers.
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// All unicast addresses of the public internet are in here.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);
/// What in it is not public, or carries an IPv4 address to a place of its own.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    // Protocols' own: Teredo, benchmarking, ORCHID.
    v6(0x2001, 0, 23),
    v6(0x2001, 0x0db8, 32),
    // 6to4
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];
/// How a network without IPv4 reaches IPv4 addresses; the last 32 bits are one.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

/// Where clouds keep the machine's own credentials. Allowed only by itself: a network around it does not mean it.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

/// The networks an operator allowed webhooks to reach although they are not public.
#[derive(Debug, Clone, Default)]
pub struct Networks(Vec<IpNet>);

/// What is wrong with the setting. Positions count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworksError {
    #[error(
        "TENURE_WEBHOOK_ALLOW_NETWORKS, entry {entry}: {text:?} is neither an address nor a network as 10.0.0.0/8"
    )]
    NotANetwork { entry: usize, text: String },
    #[error(
        "TENURE_WEBHOOK_ALLOW_NETWORKS, entry {entry}: {text} is everything; name the networks that are meant"
    )]
    Everything { entry: usize, text: String },
}

impl Networks {
    /// Addresses and networks in CIDR notation, comma-separated; none unless the setting names some.
    pub fn parse(setting: Option<&str>) -> Result<Self, NetworksError> {
        let entries = setting.unwrap_or_default().split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.enumerate().map(|(index, text)| network(index + 1, text)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a webhook may reach this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = meant(address);
        (is_public(address) && !METADATA.contains(&address)) || self.lists(address)
    }

    /// Whether an operator allowed this address although it is not public.
    pub fn allows_explicitly(&self, address: IpAddr) -> bool {
        self.lists(meant(address))
    }

    /// Whether only the public internet may be reached.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn lists(&self, address: IpAddr) -> bool {
        let alone = METADATA.contains(&address);
        let mut networks = self.0.iter().filter(|network| !alone || is_single(network));
        networks.any(|network| network.contains(&address))
    }
}

/// The address that is reached: an IPv4 one is judged as such, however it is written.
fn meant(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        canonical => canonical,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

fn is_single(network: &IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

/// An IPv4 network written as an IPv6 one would match nothing: addresses are judged as what they are.
fn network(entry: usize, text: &str) -> Result<IpNet, NetworksError> {
    let single = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    let network = single().or_else(|| text.parse::<IpNet>().ok());
    match network.filter(|network| network.addr().to_canonical() == network.addr()) {
        None => Err(NetworksError::NotANetwork { entry, text: text.to_owned() }),
        Some(all) if all.prefix_len() == 0 => Err(NetworksError::Everything { entry, text: text.to_owned() }),
        Some(network) => Ok(network),
    }
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
#[path = "networks_tests.rs"]
mod tests;
