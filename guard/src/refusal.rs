//! Why not: one value per reason, so that no two are answered alike by accident.

/// What a guard says when it does not say yes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 401: no session, or one that does not count.
    #[error("there is no valid session: {0}")]
    Unauthenticated(#[from] InvalidToken),
    /// 403: another site had a browser send its cookie along.
    #[error("the request comes from another site")]
    CrossOrigin,
    /// 404, as for a workspace that does not exist: the session is for another one.
    #[error("the session is for another workspace")]
    AnotherWorkspace,
    /// 403: the role in this workspace does not allow it.
    #[error("the permission {permission} is missing")]
    PermissionMissing {
        /// `<module>:<verb>`
        permission: String,
    },
    /// 423: the workspace is suspended, and this would change something.
    #[error("the workspace is suspended, and so read-only")]
    WorkspaceSuspended,
    /// 409: the workspace is archived, and this would change something.
    #[error("the workspace is archived, and so read-only")]
    WorkspaceArchived,
    /// The role has more permissions than a token holds: ask Tenure (`POST /access/v1/evaluation`). 503 for a client
    /// whom nobody asked for.
    #[error("the session does not list its permissions; only Tenure can tell about {permission}")]
    AskOnline {
        /// `<module>:<verb>`
        permission: String,
    },
    /// 503, not 401: the caller did nothing wrong.
    #[error("Tenure cannot be asked at the moment")]
    Unavailable,
}

/// What is wrong with the token. Holds nothing of it, and can be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    #[error("none was sent, or more than one")]
    Missing,
    #[error("it is longer than 8 KiB")]
    TooLong,
    #[error("it is not a well-formed session token")]
    Malformed,
    #[error("its algorithm is not EdDSA")]
    Algorithm,
    #[error("its header brings or points at a key, or demands an extension")]
    Header,
    #[error("it is a token of another kind")]
    Type,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is meant for somebody else")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("one of its claims cannot be")]
    Claims,
    #[error("none of the issuer's keys has its key id")]
    UnknownKey,
    #[error("its signature is not that key's")]
    Signature,
}
