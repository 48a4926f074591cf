//! Tests of [`super`]: whom proxies name, and who is not believed.

use axum::http::HeaderValue;

use super::*;

const PROXY: &str = "10.0.0.1";

/// The client of a request from `peer` with these headers, where `10/8` and `2001:db8:10::/48` are proxies.
fn client(peer: &str, headers: &[(&HeaderName, &str)]) -> String {
    let proxies = TrustedProxies::parse("10.0.0.0/8, 2001:db8:10::/48").unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    proxies.client(peer.parse().unwrap(), &map).0.to_string()
}

fn by_x_forwarded_for(value: &str) -> String {
    client(PROXY, &[(&X_FORWARDED_FOR, value)])
}

fn by_forwarded(value: &str) -> String {
    client(PROXY, &[(&FORWARDED, value)])
}

#[test]
fn without_trusted_proxies_the_peer_counts_whatever_a_header_says() {
    let mut headers = HeaderMap::new();
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
    headers.insert(FORWARDED, HeaderValue::from_static("for=198.51.100.1"));
    for setting in ["", " , "] {
        let none = TrustedProxies::parse(setting).unwrap();
        assert_eq!(none.client("::ffff:10.0.0.1".parse().unwrap(), &headers).0.to_string(), PROXY);
    }
}

#[test]
fn an_untrusted_peer_names_nobody() {
    for (name, value) in [(&X_FORWARDED_FOR, "198.51.100.1"), (&FORWARDED, "for=198.51.100.1")] {
        assert_eq!(client("203.0.113.7", &[(name, value)]), "203.0.113.7");
        assert_eq!(client("2001:db8:11::1", &[(name, value)]), "2001:db8:11::1");
    }
}

#[test]
fn the_last_address_that_is_no_proxy_counts_and_what_the_client_wrote_before_it_does_not() {
    assert_eq!(by_x_forwarded_for("198.51.100.1"), "198.51.100.1");
    assert_eq!(by_x_forwarded_for("1.1.1.1, 198.51.100.1, 10.2.3.4,10.0.0.9"), "198.51.100.1");
    assert_eq!(by_x_forwarded_for("rubbish, 198.51.100.1"), "198.51.100.1");
    assert_eq!(by_x_forwarded_for("10.0.0.3, 10.0.0.2"), "10.0.0.3", "all of them are proxies");
    assert_eq!(by_x_forwarded_for("198.51.100.1:4711"), "198.51.100.1");
    assert_eq!(by_x_forwarded_for("[2001:db8::1]:4711, 2001:db8:10::2"), "2001:db8::1");
    assert_eq!(by_x_forwarded_for("::ffff:198.51.100.1"), "198.51.100.1");
    let lines = [(&X_FORWARDED_FOR, "1.1.1.1"), (&X_FORWARDED_FOR, "198.51.100.1")];
    assert_eq!(client(PROXY, &lines), "198.51.100.1", "a list may come in several lines");
    assert_eq!(client("::ffff:10.0.0.1", &lines), "198.51.100.1");
}

#[test]
fn the_standard_header_is_read_as_it_is_defined() {
    assert_eq!(by_forwarded("for=198.51.100.1"), "198.51.100.1");
    assert_eq!(by_forwarded("For=\"[2001:db8:cafe::17]:4711\";proto=https"), "2001:db8:cafe::17");
    assert_eq!(by_forwarded("for=1.1.1.1, by=10.0.0.1;for=198.51.100.1 , for=10.0.0.9"), "198.51.100.1");
    // What is quoted is the client's: it separates nothing.
    assert_eq!(by_forwarded(r#"for=198.51.100.1;host="x, for=1.1.1.1""#), "198.51.100.1");
    assert_eq!(by_forwarded(r#"for=198.51.100.1;host="x\", for=1.1.1.1""#), "198.51.100.1");
}

#[test]
fn where_the_client_cannot_be_told_the_peer_counts() {
    for bad in ["", ",", "unknown", "198.51.100.1, unknown", "198.51.100.1, 300.1.1.1", "1.1.1.1 2.2.2.2"] {
        assert_eq!(by_x_forwarded_for(bad), PROXY, "{bad}");
    }
    for bad in [
        "",
        "198.51.100.1",
        "for=unknown",
        "for=_hidden",
        "proto=https",
        "for=198.51.100.1, proto=https",
        "for=198.51.100.1, for=\"",
        "for=1.1.1.1;x=\", for=198.51.100.1",
        "for=1.1.1.1;for=198.51.100.1",
        "for=\"198.51.100.1\"x",
    ] {
        assert_eq!(by_forwarded(bad), PROXY, "{bad}");
    }
}

#[test]
fn two_headers_count_only_if_they_agree() {
    let both = |standard, common| client(PROXY, &[(&FORWARDED, standard), (&X_FORWARDED_FOR, common)]);
    assert_eq!(both("for=198.51.100.1", "1.1.1.1, 198.51.100.1"), "198.51.100.1");
    assert_eq!(both("for=198.51.100.1", "198.51.100.2"), PROXY);
    assert_eq!(both("for=198.51.100.1", "unknown"), PROXY);
    assert_eq!(both("rubbish", "198.51.100.1"), PROXY);
}

#[test]
fn a_wrong_network_is_refused_by_name() {
    for (setting, part) in [
        ("10.0.0.0/8, 10.0.0.0/33", "entry 2: \"10.0.0.0/33\" is neither"),
        ("proxy.example", "entry 1: \"proxy.example\" is neither"),
        ("10.0.0.1-10.0.0.9", "is neither"),
        ("::ffff:10.0.0.0/104", "is neither"),
        ("10.0.0.1,0.0.0.0/0", "entry 2: 0.0.0.0/0 is everybody"),
        ("::/0", "is everybody"),
    ] {
        let error = TrustedProxies::parse(setting).unwrap_err().to_string();
        assert!(error.starts_with("TENURE_TRUSTED_PROXIES") && error.contains(part), "{setting}: {error}");
    }
    for good in ["127.0.0.1", "::1", "10.0.0.0/8,fd00::/8", "10.1.2.3/8", "::ffff:10.0.0.1"] {
        assert!(TrustedProxies::parse(good).is_ok(), "{good}");
    }
}
