//! Commands drawn at random on who may do what: roles of a workspace's own, products' permissions, API keys.

use std::collections::BTreeSet;

use chrono::Duration;
use tenure_aggregates::api_key::{ApiKeyCommand as KC, Secret};
use tenure_aggregates::catalogue::CatalogueCommand as CC;
use tenure_aggregates::invitation::InvitationCommand as IC;
use tenure_aggregates::membership::MembershipCommand as MC;
use tenure_aggregates::workspace::{RoleDefinition, WorkspaceCommand as WC};
use tenure_aggregates::{
    ApiKeyId, Invitation, InvitationId, PermissionName, Role, RoleName, UserId, WorkspaceId,
};

use super::super::history::History;

const ROLES: [&str; 3] = ["billing", "on-call", "recruiter"];
const PRODUCTS: [&str; 4] = ["crm:read", "crm:write", "reports:export", "reports:read"];
const NETWORKS: [&str; 3] = ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"];

impl History {
    /// A role that a member of this workspace can have.
    pub fn any_role(&mut self, workspace: WorkspaceId) -> Role {
        let mut roles = vec![Role::Member, Role::Moderator, Role::Admin];
        if let Ok(details) = self.workspaces[&workspace].living() {
            roles.extend(details.roles.keys().cloned().map(Role::Custom));
        }
        self.pick(&roles).unwrap()
    }

    fn permissions(&mut self) -> BTreeSet<PermissionName> {
        let names = [&PRODUCTS[..], &["members:invite", "members:read", "workspace:read"]].concat();
        let chosen = names.into_iter().filter(|_| self.below(2) == 0);
        chosen.map(|name| PermissionName::parse(name).unwrap()).collect()
    }

    pub fn something_with_role(&mut self, workspace: WorkspaceId) {
        let role = RoleName::parse(ROLES[self.below(3)]).unwrap();
        if self.below(2) > 0 {
            let description = (self.below(2) == 0).then(|| format!("{role}, {}", self.below(9)));
            let definition = RoleDefinition { description, permissions: self.permissions() };
            return self.workspace(workspace, WC::DefineRole { role, definition });
        }
        let promised = self.promised(workspace);
        let role = self.pick(&promised).map_or(role, |(_, promised)| promised);
        let replacement = (self.below(4) > 0).then(|| self.any_role(workspace));
        self.delete_role(workspace, &role, replacement);
    }

    /// As the command does it: whoever holds the role, or is invited to it, gets the replacement.
    fn delete_role(&mut self, workspace: WorkspaceId, role: &RoleName, replacement: Option<Role>) {
        let members: Vec<UserId> = (self.memberships.iter())
            .filter(|(key, membership)| {
                key.0 == workspace && membership.role().and_then(Role::custom) == Some(role)
            })
            .map(|(key, _)| key.1.clone())
            .collect();
        let promised = self.promised(workspace).into_iter().filter(|(_, promised)| promised == role);
        let invitations: Vec<InvitationId> = promised.map(|(invitation, _)| invitation).collect();
        let in_use = !(members.is_empty() && invitations.is_empty());
        let before = self.head();
        let delete = WC::DeleteRole { role: role.clone(), replacement: replacement.clone(), in_use };
        self.workspace(workspace, delete);
        let Some(role) = replacement.filter(|_| self.head() > before) else { return };
        for member in members {
            self.member(workspace, &member, MC::ReplaceRole { role: role.clone() });
        }
        for invitation in invitations {
            self.invitation(workspace, invitation, IC::ChangeRole { role: role.clone() });
        }
    }

    /// The open invitations to roles of the workspace's own.
    fn promised(&self, workspace: WorkspaceId) -> Vec<(InvitationId, RoleName)> {
        let open = self.invitations.iter().filter(|(key, invitation)| {
            key.0 == workspace && matches!(invitation.status(self.now), "pending" | "expired")
        });
        let role = |state: &Invitation| state.offer()?.role.custom().cloned();
        open.filter_map(|(key, invitation)| Some((key.1, role(invitation)?))).collect()
    }

    pub fn something_with_api_key(&mut self, workspace: WorkspaceId, user: &UserId) {
        let now = self.now;
        let here: Vec<ApiKeyId> =
            self.api_keys.keys().filter(|key| key.0 == workspace).map(|key| key.1).collect();
        let secret = Secret { hash: self.uuid().to_string(), hint: format!("tnk_{:04}", self.below(10_000)) };
        let network = NETWORKS[self.below(3)].to_owned();
        let Some(id) = self.pick(&here).filter(|_| self.below(3) > 0) else {
            let key_id = ApiKeyId(self.uuid());
            let create = KC::Create {
                key_id,
                name: format!("Key {}", self.below(1000)),
                secret,
                permissions: self.permissions(),
                expires_at: (self.below(2) == 0).then(|| now + Duration::seconds(60)),
                networks: if self.below(2) == 0 {
                    vec![]
                } else {
                    NETWORKS[1..].iter().map(|&n| n.to_owned()).collect()
                },
                created_by: (self.below(3) > 0).then(|| user.clone()),
                now,
            };
            return self.api_key(workspace, key_id, create);
        };
        match self.below(6) {
            0..=1 => self.api_key(workspace, id, KC::Rotate { secret, overlap: Duration::minutes(1), now }),
            2..=4 => self.api_key(workspace, id, KC::NoteNetwork { network }),
            _ => self.api_key(workspace, id, KC::Revoke),
        }
    }

    pub fn something_with_catalogue(&mut self) {
        let permission = PermissionName::parse(PRODUCTS[self.below(4)]).unwrap();
        if self.below(5) == 0 {
            return self.register(CC::Withdraw { permission });
        }
        let description = (self.below(2) == 0).then(|| format!("About {permission}, {}", self.below(9)));
        let roles = [Role::Member, Role::Moderator].into_iter();
        let granted_to = roles.filter(|_| self.below(2) == 0).collect();
        self.register(CC::Register { permission, description, granted_to });
    }
}

// Else what is held against them would be empty.
#[test]
fn everything_happens_in_random_histories() {
    let histories = (11..=14).map(|seed| History::of(seed, 600));
    let types: BTreeSet<String> =
        histories.flat_map(|history| history.events).map(|event| event.event_type).collect();
    for event in [
        "ApiKeyCreated",
        "ApiKeyRevoked",
        "ApiKeyRotated",
        "ApiKeyUsedFromNewNetwork",
        "InvitationRoleChanged",
        "PermissionChanged",
        "PermissionRegistered",
        "PermissionWithdrawn",
        "RoleChanged",
        "RoleDefined",
        "RoleDeleted",
        "WorkspacePlanChanged",
    ] {
        assert!(types.contains(event), "no {event} in {types:?}");
    }
}
