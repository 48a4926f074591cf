//! Whom a request is counted for: its address, and its credential as it was presented.
//!
//! Nothing is verified here, so that an attempt counts whatever becomes of it. Whoever shows another credential
//! with every request is counted by address.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use sha2::{Digest, Sha256};
use tenure_aggregates::UserId;

use super::class::Class;
use crate::clock;
use crate::http::App;
use crate::http::base::client_addr::ClientAddr;
use crate::http::caller::{acted_for, bearer};

/// A browser's credential.
const SESSION_COOKIE: &str = "__Host-tenure_session";

/// What a request is counted under; nothing at all for the operator's service itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) credential: Option<Credential>,
    pub(super) address: Option<Network>,
}

/// A credential's digest: secrets are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Credential([u8; 16]);

/// What one client has at the least: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Network {
    V4(Ipv4Addr),
    V6(u64),
}

/// The operator's service sends everybody's requests from its own address: there, whom it acts for is counted.
/// Its invitations are its own affair.
pub(super) fn of(class: Class, request: &Request, app: &App) -> Key {
    let headers = request.headers();
    let address = request.extensions().get::<ClientAddr>().map(|client| Network::of(client.0));
    if headers.contains_key(AUTHORIZATION) {
        let token = bearer(headers);
        if token.is_some_and(|token| app.operator.matches(token, clock::now())) {
            let user = acted_for(headers).ok().flatten().filter(|_| class != Class::Invitation);
            return Key { credential: user.as_ref().map(Credential::of_user), address: None };
        }
        return Key { credential: token.map(Credential::of_secret), address };
    }
    Key { credential: session_cookie(headers).map(Credential::of_secret), address }
}

/// The one session cookie; two credentials are none.
fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value);
    found.next().filter(|_| found.next().is_none())
}

impl Credential {
    fn of_secret(secret: &str) -> Self {
        Self::of("secret", secret)
    }

    fn of_user(user: &UserId) -> Self {
        Self::of("user", user.as_str())
    }

    fn of(kind: &str, text: &str) -> Self {
        let digest: [u8; 32] =
            Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize().into();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Self(short)
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d].into_iter().fold(0, |bits, segment| bits << 16 | u64::from(segment)))
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use axum::http::HeaderValue;

    use super::*;

    pub(crate) fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    pub(crate) fn credential(secret: &str) -> Credential {
        Credential::of_secret(secret)
    }

    #[test]
    fn ipv6_counts_by_64_bits_and_ipv4_by_the_address() {
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db9:1:2::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
        assert_ne!(network("::1"), network("0.0.0.1"));
    }

    #[test]
    fn a_user_is_not_a_secret_of_the_same_letters() {
        assert_eq!(credential("ada"), credential("ada"));
        assert_ne!(credential("ada"), credential("adb"));
        assert_ne!(credential("ada"), Credential::of_user(&UserId::parse("ada").unwrap()));
    }

    #[test]
    fn the_session_cookie_is_found_among_others_and_only_if_there_is_one() {
        let cookie = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            session_cookie(&headers).map(str::to_owned)
        };
        assert_eq!(cookie(&["a=b; __Host-tenure_session=x.y.z; c=d"]).as_deref(), Some("x.y.z"));
        assert_eq!(cookie(&["a=b", "__Host-tenure_session=x"]).as_deref(), Some("x"));
        assert_eq!(cookie(&["tenure_session=x; x__Host-tenure_session=y"]), None);
        assert_eq!(cookie(&["__Host-tenure_session=x; __Host-tenure_session=y"]), None);
        assert_eq!(cookie(&[]), None);
    }
}
