//! What is public, what is not, and what an operator can allow.

use super::*;

const REFUSED: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "100.100.100.200",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
];

const PERMITTED: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:4860:4860::8888",
    "2001:200::1",
    "2606:4700::1111",
    "2a00::1",
    "3ffe::1",
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn networks(setting: &str) -> Networks {
    Networks::parse(Some(setting)).unwrap()
}

#[test]
fn only_what_is_public_is_reached() {
    let networks = Networks::default();
    assert!(networks.is_empty());
    for text in REFUSED {
        assert!(!networks.permits(address(text)), "{text}");
        assert!(!networks.allows_explicitly(address(text)), "{text}");
    }
    for text in PERMITTED {
        assert!(networks.permits(address(text)), "{text}");
        assert!(!networks.allows_explicitly(address(text)), "{text}");
    }
}

#[test]
fn an_operator_allows_networks_and_nothing_beside_them() {
    let networks = networks(" 10.1.0.0/16, 127.0.0.1 ,fd12::/16,::1");
    assert!(!networks.is_empty());
    for text in
        ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "127.0.0.1", "::ffff:7f00:1", "fd12::1", "::1"]
    {
        assert!(networks.permits(address(text)) && networks.allows_explicitly(address(text)), "{text}");
    }
    for text in ["10.2.0.1", "127.0.0.2", "fd13::1", "::2", "2002:a01:203::1", "::10.1.2.3"] {
        assert!(!networks.permits(address(text)), "{text}");
    }
    assert!(networks.permits(address("8.8.8.8")));
}

#[test]
fn where_clouds_keep_credentials_is_allowed_only_by_itself() {
    let around = networks("169.254.0.0/16,fd00::/8,100.64.0.0/10,168.0.0.0/8");
    for metadata in METADATA {
        assert!(!around.permits(*metadata), "{metadata}");
        assert!(networks(&metadata.to_string()).permits(*metadata), "{metadata}");
    }
    assert!(around.permits(address("169.254.1.1")) && around.permits(address("fd00::1")));
}

#[test]
fn what_is_no_network_is_refused_by_name() {
    for odd in [
        "localhost",
        "10.0.0.0/33",
        "10.0.0",
        "::ffff:10.0.0.0/104",
        "10.0.0.0/8 192.168.0.0/16",
        "0x7f000001",
    ] {
        let refused = Networks::parse(Some(&format!("10.0.0.0/8,{odd}"))).unwrap_err();
        assert_eq!(refused, NetworksError::NotANetwork { entry: 2, text: odd.to_owned() });
        assert!(refused.to_string().contains("TENURE_WEBHOOK_ALLOW_NETWORKS"));
    }
    for all in ["0.0.0.0/0", "::/0"] {
        let refused = Networks::parse(Some(all)).unwrap_err();
        assert_eq!(refused, NetworksError::Everything { entry: 1, text: all.to_owned() });
    }
    for none in [None, Some(""), Some(" , ")] {
        assert!(Networks::parse(none).unwrap().is_empty());
    }
}
