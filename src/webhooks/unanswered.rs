//! Why a webhook got no answer, in a word.

use strum::{Display, IntoStaticStr};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Unanswered {
    /// The URL leads to no host.
    Url,
    /// The name leads nowhere.
    Dns,
    /// None of the addresses may be reached.
    PrivateAddress,
    /// Plain HTTP, where that is not allowed.
    Insecure,
    /// Nobody listens there.
    Refused,
    /// The host is not who it should be, or speaks no TLS.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection could not be made, or broke.
    Connection,
    /// What came back was no HTTP/1.1.
    NotHttp,
}

impl Unanswered {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl std::error::Error for Unanswered {}
