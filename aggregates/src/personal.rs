//! What in an event speaks of a person, or is what a workspace says of itself: it is sealed in the log, with a key
//! that is destroyed when the person is erased or the workspace deleted.
//!
//! Ids, roles, permissions, times and numbers stay readable: the rules and the proofs rest on them.

/// What is shown in place of what cannot be opened any more.
pub const ERASED: &str = "[erased]";

/// Whose key a part of an event is sealed with. A person's key is the one of their personal workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// The workspace the event belongs to.
    Workspace,
    /// The invitation: it goes with whoever was invited.
    Invitation,
}

/// The fields of an event that are sealed, whatever texts stand in them, and with whose key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Personal {
    pub sealing: Sealing,
    pub fields: &'static [&'static str],
}

/// What is sealed of an event of that name; nothing for most.
pub fn of(event_type: &str) -> Option<Personal> {
    let of_workspace: &[&str] = match event_type {
        "UserProvisioned" | "UserProfileChanged" => &["email", "name"],
        "WorkspaceCreated" | "WorkspaceProfileChanged" => {
            &["name", "slug", "description", "image_url", "website", "phone", "social"]
        }
        "WorkspaceSuspended" | "WorkspaceResumed" | "MembershipDeactivated" => &["reason"],
        "RoleDefined" | "RoleChanged" => &["description"],
        "ApiKeyCreated" => &["name", "networks"],
        "WebhookEndpointCreated" | "WebhookEndpointChanged" => &["url", "description"],
        "ApiKeyUsedFromNewNetwork" => &["network"],
        "InvitationSent" => return Some(Personal { sealing: Sealing::Invitation, fields: &["email"] }),
        _ => return None,
    };
    Some(Personal { sealing: Sealing::Workspace, fields: of_workspace })
}
