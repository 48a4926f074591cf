//! Where a webhook endpoint may be. What a name resolves to is judged when it is connected to, each time; what the URL
//! itself tells is refused at the door.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::webhooks::Networks;

/// How many characters a URL may have.
const LONGEST: usize = 2_048;
/// What this machine is called by whoever is on it.
const LOCAL: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "localhost6",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
];
/// Where clouds keep the machine's own credentials, by name.
const METADATA: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];
/// The address behind most of those names.
const METADATA_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    pub code: &'static str,
    pub detail: &'static str,
}

const fn flaw(code: &'static str, detail: &'static str) -> Flaw {
    Flaw { code, detail }
}

/// Reads an absolute http or https URL with a host, and with nothing in it that is not sent or that is secret.
pub fn parse(text: &str) -> Result<Url, Flaw> {
    if text.chars().count() > LONGEST {
        return Err(flaw("too_long", "must be at most 2048 characters"));
    }
    let invalid = flaw("invalid_url", "must be an absolute https address");
    // Parsers of URLs forgive these, each in its own way.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(invalid);
    }
    let url = Url::parse(text).map_err(|_| invalid)?;
    let absolute = text.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://"));
    if !matches!(url.scheme(), "http" | "https") || !absolute || url.host().is_none() {
        return Err(invalid);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(flaw("invalid_url", "must not carry credentials: deliveries are signed"));
    }
    if url.fragment().is_some() {
        return Err(flaw("invalid_url", "must have no fragment: it is never sent"));
    }
    Ok(url)
}

/// Whether a webhook may go there, as far as the URL itself tells. A literal address is judged as what it is, however
/// it is spelt.
pub fn check(url: &Url, networks: &Networks) -> Result<(), Flaw> {
    if url.scheme() != "https" && networks.is_empty() {
        return Err(flaw("https_required", "must be an https address"));
    }
    let permitted = match url.host() {
        Some(Host::Ipv4(address)) => networks.permits(address.into()),
        Some(Host::Ipv6(address)) => networks.permits(address.into()),
        Some(Host::Domain(name)) => permits_name(name, networks),
        None => false,
    };
    if permitted {
        Ok(())
    } else {
        Err(flaw("address_not_allowed", "must be reachable on the public internet"))
    }
}

fn permits_name(name: &str, networks: &Networks) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if LOCAL.contains(&name.as_str()) || name.ends_with(".localhost") {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return loopback.into_iter().any(|address| networks.permits(address));
    }
    !METADATA.contains(&name.as_str()) || networks.permits(METADATA_ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, setting: &str) -> &'static str {
        let networks = Networks::parse(Some(setting)).unwrap();
        match parse(text).and_then(|url| check(&url, &networks)) {
            Ok(()) => "ok",
            Err(flaw) => flaw.code,
        }
    }

    #[test]
    fn a_public_https_address_is_taken() {
        for text in [
            "https://hooks.example.com/tenure",
            "https://hooks.example.com:8443/a?b=c",
            "https://b\u{fc}cher.example/",
            "https://93.184.216.34/",
            "https://[2606:2800:220:1:248:1893:25c8:1946]/",
            "HTTPS://HOOKS.EXAMPLE.COM",
            "https://localhost.example.com/",
        ] {
            assert_eq!(verdict(text, ""), "ok", "{text}");
        }
        let long = format!("https://hooks.example.com/{}", "a".repeat(2_048 - 26));
        assert_eq!((verdict(&long, ""), verdict(&format!("{long}a"), "")), ("ok", "too_long"));
    }

    #[test]
    fn what_is_no_absolute_address_or_carries_what_is_not_sent_is_refused() {
        for text in [
            "",
            "hooks.example.com/tenure",
            "//hooks.example.com",
            "/tenure",
            "https:hooks.example.com",
            "https:/hooks.example.com",
            "https://",
            "ftp://hooks.example.com",
            "file:///etc/passwd",
            "gopher://hooks.example.com",
            "javascript:alert(1)",
            "https:\\\\hooks.example.com",
            "https://hooks.exa\nmple.com",
            " https://hooks.example.com",
            "https://hooks.example.com/a b",
            "https://user@hooks.example.com",
            "https://user:word@hooks.example.com",
            "https://:word@hooks.example.com",
            "https://hooks.example.com/#top",
            "https://hooks.example.com/#",
            "https://hooks.example.com:99999/",
            "https://1.2.3.4.5/",
            "https://[::1/",
        ] {
            assert_eq!(verdict(text, "127.0.0.0/8"), "invalid_url", "{text}");
        }
    }

    // Attack 27.
    #[test]
    fn an_address_that_is_not_public_is_refused_however_it_is_spelt() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[fe80::1]",
            "[fd00::1]",
            "0",
            "10.0.0.1",
            "172.16.5.4",
            "192.168.0.1",
            "169.254.169.254",
            "2852039166",
            "100.64.0.1",
            "192.0.2.1",
            "224.0.0.1",
            "255.255.255.255",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "ip6-localhost",
            "metadata.google.internal",
            "metadata.google.internal.",
            "Metadata.Goog",
            "instance-data.ec2.internal",
        ] {
            assert_eq!(verdict(&format!("https://{host}/hook"), ""), "address_not_allowed", "{host}");
        }
    }

    #[test]
    fn http_and_private_addresses_are_taken_where_the_operator_allowed_networks() {
        assert_eq!(verdict("http://hooks.example.com/", ""), "https_required");
        for text in
            ["http://127.0.0.1:9000/", "https://2130706433/", "http://localhost/", "https://a.localhost/"]
        {
            assert_eq!(verdict(text, "127.0.0.0/8"), "ok", "{text}");
        }
        assert_eq!(verdict("http://hooks.example.com/", "10.0.0.0/8"), "ok");
        for text in ["http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://metadata/"] {
            assert_eq!(verdict(text, "127.0.0.0/8"), "address_not_allowed", "{text}");
        }
        assert_eq!(verdict("http://localhost/", "10.0.0.0/8"), "address_not_allowed");
    }
}
