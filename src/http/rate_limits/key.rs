//! Whom a request is counted for: its address, and its credential as it was presented.
//!
//! Nothing is verified here, so that an attempt counts whatever becomes of it. Whoever shows another credential
//! with every request is counted by address.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use tenure_aggregates::UserId;

use super::class::Class;
use crate::clock;
use crate::http::App;
use crate::http::base::client_addr::ClientAddr;
use crate::http::base::cookie;
use crate::http::caller::{SESSION_COOKIE, acted_for, bearer};

/// What a request is counted under; nothing at all for the operator's service itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) credential: Option<Credential>,
    pub(super) address: Option<Network>,
    /// Whether only what fails counts in the end.
    pub(super) failures_only: bool,
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

/// The operator's service sends everybody's requests from its own address, and has limits of its own. Whom it acts for
/// is counted where something is guessed at, and only if the guess was wrong; its invitations are its own affair.
pub(super) fn of(class: Class, request: &Request, app: &App) -> Key {
    let headers = request.headers();
    let address = request.extensions().get::<ClientAddr>().map(|client| Network::of(client.0));
    if headers.contains_key(AUTHORIZATION) {
        let token = bearer(headers);
        if token.is_some_and(|token| app.operator.matches(token, clock::now())) {
            let user = acted_for(headers).ok().flatten().filter(|_| class != Class::Invitation);
            let credential = user.as_ref().map(Credential::of_user);
            return Key { credential, address: None, failures_only: true };
        }
        return Key { credential: token.map(Credential::of_secret), address, failures_only: false };
    }
    // Two credentials are none.
    let session = cookie::find(headers, SESSION_COOKIE).ok().flatten();
    Key { credential: session.map(Credential::of_secret), address, failures_only: false }
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
}
