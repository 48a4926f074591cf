//! Why a token does not count.

/// Either the token is bad, for ever or for now, or we cannot tell at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("the token is not valid: {0}")]
    Invalid(#[from] InvalidToken),
    /// 503, not 401: the caller did nothing wrong.
    #[error("the issuer's keys cannot be had at the moment")]
    Unavailable,
}

/// What is wrong with the token. Holds nothing of it, and can be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("it is longer than 8 KiB")]
    TooLong,
    #[error("it is not a well-formed JWT")]
    Malformed,
    #[error("its algorithm is none of RS256, ES256 and EdDSA")]
    Algorithm,
    #[error("its header brings or points at a key, or demands an extension")]
    Header,
    #[error("it is a token of another kind")]
    Type,
    #[error("its issuer is not one of ours")]
    UnknownIssuer,
    #[error("it is not meant for us")]
    Audience,
    #[error("its subject is missing, longer than 255 characters, or holds control characters")]
    Subject,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("its issuer has no such key")]
    UnknownKey,
    #[error("it names no key and its issuer has several")]
    AmbiguousKey,
    #[error("its signature does not fit")]
    Signature,
}
