//! What a verified session allows: one workspace, and there what its role may do.

use std::collections::HashSet;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::refusal::Refusal;

/// Who acts, in which workspace, in which role. Made by verifying a token and in no other way.
///
/// It is as true as the token is old: a removal or a suspension shows in the next token, within minutes.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) user_id: String,
    pub(crate) id: Uuid,
    pub(crate) generation: u64,
    pub(crate) workspace_id: Uuid,
    pub(crate) workspace_kind: WorkspaceKind,
    pub(crate) workspace_status: WorkspaceStatus,
    pub(crate) role: String,
    pub(crate) grant: Grant,
    pub(crate) expires_at: SystemTime,
}

/// A user's own workspace, or one that people share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    Personal,
    Team,
}

/// Suspended and archived workspaces are read-only, but for the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceStatus {
    Active,
    Suspended,
    Archived,
}

/// What the role allows, as far as the token says.
#[derive(Clone, Debug)]
pub(crate) enum Grant {
    /// Everything.
    Owner,
    /// Everything but deleting the workspace or giving it away.
    Admin,
    Listed(HashSet<Box<str>>),
    /// Too many to list.
    Omitted,
}

enum Answer {
    Yes,
    No,
    Unknown,
}

impl Session {
    /// The user's id, as your identity provider knows them.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// Stays the same when the user switches workspaces.
    pub fn session_id(&self) -> Uuid {
        self.id
    }

    /// How often this session was issued, from 1: a switch counts it up.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The one workspace this session is for: scope every query by it.
    pub fn workspace_id(&self) -> Uuid {
        self.workspace_id
    }

    pub fn workspace_kind(&self) -> WorkspaceKind {
        self.workspace_kind
    }

    pub fn workspace_status(&self) -> WorkspaceStatus {
        self.workspace_status
    }

    /// The role's name. To decide what it allows, ask [`require`](Self::require).
    pub fn role(&self) -> &str {
        &self.role
    }

    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Refuses every workspace but the session's own: for an id out of a path, a body or a job.
    pub fn require_workspace(&self, workspace_id: Uuid) -> Result<(), Refusal> {
        if workspace_id == self.workspace_id { Ok(()) } else { Err(Refusal::AnotherWorkspace) }
    }

    /// Refuses unless the role allows `permission` (`<module>:<verb>`) and the workspace is in a state for it.
    ///
    /// A name of another form is nobody's permission, not even the owner's.
    pub fn require(&self, permission: &str) -> Result<(), Refusal> {
        let answer = self.grant.allows(permission);
        if let Answer::No = answer {
            return Err(Refusal::PermissionMissing { permission: permission.to_owned() });
        }
        self.workspace_status.require(permission)?;
        match answer {
            Answer::Unknown => Err(Refusal::AskOnline { permission: permission.to_owned() }),
            _ => Ok(()),
        }
    }
}

impl Grant {
    fn allows(&self, permission: &str) -> Answer {
        let answer = match self {
            _ if verb(permission).is_none() => false,
            Self::Owner => true,
            Self::Admin => !matches!(permission, "workspace:delete" | "workspace:transfer"),
            Self::Listed(names) => names.contains(permission),
            Self::Omitted => return Answer::Unknown,
        };
        if answer { Answer::Yes } else { Answer::No }
    }
}

impl WorkspaceStatus {
    fn require(self, permission: &str) -> Result<(), Refusal> {
        let reads = verb(permission) == Some("read");
        match self {
            Self::Suspended if !reads && permission != "billing:manage" => Err(Refusal::WorkspaceSuspended),
            Self::Archived if !reads && permission != "workspace:delete" => Err(Refusal::WorkspaceArchived),
            _ => Ok(()),
        }
    }
}

/// The verb of a well-formed name.
fn verb(permission: &str) -> Option<&str> {
    let (module, verb) = permission.split_once(':')?;
    let well_formed = !module.is_empty() && !verb.is_empty() && !verb.contains(':');
    well_formed.then_some(verb)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{ELSEWHERE, TestKey, WORKSPACE, without};

    /// A session of a role that the token does not list the permissions of.
    fn session(role: &str, status: &str, more: &Value) -> Session {
        let key = TestKey::new("k");
        let mut claims = without("permissions");
        claims["role"] = json!(role);
        claims["workspace_status"] = json!(status);
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        key.verifier().verify(&key.token(&claims), crate::testing::now()).unwrap()
    }

    fn missing(permission: &str) -> Result<(), Refusal> {
        Err(Refusal::PermissionMissing { permission: permission.to_owned() })
    }

    #[test]
    fn one_workspace_and_no_other() {
        let session = session("owner", "active", &json!({}));
        assert_eq!(session.require_workspace(WORKSPACE), Ok(()));
        for other in [ELSEWHERE, Uuid::nil(), Uuid::max()] {
            assert_eq!(session.require_workspace(other), Err(Refusal::AnotherWorkspace));
        }
    }

    #[test]
    fn the_owner_may_everything_and_the_admin_nearly() {
        let (owner, admin) = (session("owner", "active", &json!({})), session("admin", "active", &json!({})));
        for permission in ["invoices:read", "invoices:approve", "billing:manage", "made-up:tomorrow"] {
            assert_eq!(
                (owner.require(permission), admin.require(permission)),
                (Ok(()), Ok(())),
                "{permission}"
            );
        }
        for permission in ["workspace:delete", "workspace:transfer"] {
            assert_eq!((owner.require(permission), admin.require(permission)), (Ok(()), missing(permission)));
        }
    }

    #[test]
    fn others_may_what_is_listed_to_the_letter() {
        let listed = json!({"permissions": ["invoices:read", "invoices:write"]});
        for role in ["member", "moderator", "accountant", "admin", "owner"] {
            let session = session(role, "active", &listed);
            assert_eq!(session.require("invoices:read"), Ok(()));
            assert_eq!(session.require("invoices:write"), Ok(()));
            for other in
                ["invoices:approve", "Invoices:read", "invoices:read ", "invoices:*", "workspace:read"]
            {
                assert_eq!(session.require(other), missing(other), "{role}");
            }
        }
        let nothing = session("member", "active", &json!({"permissions": []}));
        assert_eq!(nothing.require("invoices:read"), missing("invoices:read"));
    }

    #[test]
    fn a_name_of_another_form_is_nobodys_permission() {
        let odd = ["", "invoices", ":", ":read", "invoices:", "a:b:read", "*"];
        let list = json!({ "permissions": odd });
        for name in odd {
            assert_eq!(session("owner", "active", &json!({})).require(name), missing(name));
            assert_eq!(session("member", "active", &list).require(name), missing(name));
            let omitted = session("member", "active", &json!({"permissions_omitted": true}));
            assert_eq!(omitted.require(name), missing(name));
        }
    }

    #[test]
    fn what_is_not_listed_is_asked_online() {
        let omitted = session("accountant", "active", &json!({"permissions_omitted": true}));
        let ask = Err(Refusal::AskOnline { permission: "invoices:read".into() });
        assert_eq!(omitted.require("invoices:read"), ask);
        // What no role may in a suspended workspace need not be asked.
        let suspended = session("accountant", "suspended", &json!({"permissions_omitted": true}));
        assert_eq!(suspended.require("invoices:read"), ask);
        assert_eq!(suspended.require("invoices:write"), Err(Refusal::WorkspaceSuspended));
        // Said, and denied: the role speaks for itself.
        assert_eq!(session("owner", "active", &json!({"permissions_omitted": false})).require("a:b"), Ok(()));
    }

    #[test]
    fn a_suspended_workspace_is_read_and_paid_for_and_an_archived_one_read_and_deleted() {
        for (status, out, refusal) in [
            ("suspended", "billing:manage", Refusal::WorkspaceSuspended),
            ("archived", "workspace:delete", Refusal::WorkspaceArchived),
        ] {
            let owner = session("owner", status, &json!({}));
            for fine in ["invoices:read", "workspace:read", "audit:read", out] {
                assert_eq!(owner.require(fine), Ok(()), "{status} {fine}");
            }
            for change in
                ["invoices:write", "invoices:reads", "invoices:read-all", "members:invite", "read:write"]
            {
                assert_eq!(owner.require(change), Err(refusal.clone()), "{status} {change}");
            }
            let other = if status == "suspended" { "workspace:delete" } else { "billing:manage" };
            assert_eq!(owner.require(other), Err(refusal.clone()));
            // Whoever may not is told so, whatever the workspace's state.
            let member = session("member", status, &json!({"permissions": ["invoices:read"]}));
            assert_eq!(member.require("invoices:read"), Ok(()));
            assert_eq!(member.require("invoices:write"), missing("invoices:write"));
            assert_eq!(member.require(out), missing(out));
        }
    }
}
