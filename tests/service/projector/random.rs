//! Commands drawn at random, for whatever state a history is in.

mod access;
mod delivery;

use chrono::Duration;
use tenure_aggregates::invitation::{InvitationCommand as IC, Mailing};
use tenure_aggregates::membership::{Entrance, MembershipCommand as MC, Standing};
use tenure_aggregates::session::{Ending, SessionCommand as SC, Switching};
use tenure_aggregates::user::UserCommand as UC;
use tenure_aggregates::values::{Email, Slug};
use tenure_aggregates::workspace::{Kind, Profile, Social, WorkspaceCommand as WC};
use tenure_aggregates::{InvitationId, SessionId, UserId, WorkspaceId};

use super::history::History;

impl History {
    pub fn something(&mut self) {
        if self.users.len() < 3 || self.below(12) == 0 {
            self.provision();
            return;
        }
        let users: Vec<UserId> =
            self.users.iter().filter(|u| u.1.active().is_ok()).map(|u| u.0.clone()).collect();
        let Some(user) = self.pick(&users) else { return };
        let teams: Vec<WorkspaceId> = self
            .workspaces
            .iter()
            .filter(|w| w.1.living().is_ok_and(|d| d.kind == Kind::Team))
            .map(|w| *w.0)
            .collect();
        let Some(team) = self.pick(&teams).filter(|_| self.below(10) > 0) else {
            self.create_team(&user);
            return;
        };
        match self.below(15) {
            0 => self.something_with_user(&user),
            1 => self.something_with_session(team, &user),
            2..=3 => self.something_with_workspace(team),
            4..=5 => self.something_with_invitation(team, &user),
            6..=7 => self.something_with_role(team),
            8 => self.something_with_api_key(team, &user),
            9 => self.something_with_catalogue(),
            10 => self.something_with_webhook_endpoint(team, &user),
            _ => self.something_with_member(team, &user),
        }
    }

    fn something_with_user(&mut self, user: &UserId) {
        let now = self.now;
        if self.below(4) > 0 {
            let number = self.below(1000);
            let email =
                number.is_multiple_of(2).then(|| Email::parse(&format!("new{number}@example.org")).ok());
            let name =
                number.is_multiple_of(3).then(|| number.is_multiple_of(2).then(|| format!("New {number}")));
            let user_id = user.clone();
            self.user(user, UC::Provision { user_id, email, email_verified: None, name, now });
            return;
        }
        self.user(user, UC::StartErasure);
        let home = WorkspaceId::personal(user);
        let owns = self.workspaces.iter().any(|(id, w)| *id != home && w.owner() == Some(user));
        if owns {
            self.user(user, UC::WithdrawErasure);
            return;
        }
        let of: Vec<WorkspaceId> = self.memberships.keys().filter(|k| k.1 == *user).map(|k| k.0).collect();
        for workspace in of {
            self.member(workspace, user, MC::Erase);
        }
        for id in self.sessions_of(user) {
            self.session(user, id, SC::End { because: Ending::UserErased });
        }
        self.workspace(home, WC::EndWithOwner);
        self.user(user, UC::Erase);
    }

    fn something_with_workspace(&mut self, id: WorkspaceId) {
        let (now, number) = (self.now, self.below(1000));
        let Ok(details) = self.workspaces[&id].living().cloned() else { return };
        let profile = Profile {
            name: format!("Renamed {number}"),
            slug: (number % 2 == 0).then(|| Slug::parse(&format!("slug-{number}")).unwrap()),
            description: (number % 3 == 0).then(|| format!("About {number}")),
            social: Social { x: (number % 2 == 1).then(|| "@acme".to_owned()), ..Social::default() },
            ..details.profile.clone()
        };
        match self.below(13) {
            12 => self.workspace(id, WC::ChangePlan { plan: ["free", "pro"][number % 2].to_owned() }),
            0..=1 => self.workspace(id, WC::ChangeProfile { profile }),
            2 => self.workspace(id, WC::Suspend { reason: Some("unpaid".to_owned()), now }),
            3..=4 => self.workspace(id, WC::Resume { reason: None }),
            5 => self.workspace(id, WC::Archive),
            6 => self.workspace(id, WC::Restore),
            7 => self.workspace(id, WC::ChangeSeatsLimit { limit: u32::try_from(number).unwrap() + 1 }),
            8..=9 => {
                let (hash, role, max_uses) = (format!("hash{number}"), self.any_role(id), Some(9));
                self.workspace(
                    id,
                    WC::IssueInviteCode {
                        hash,
                        role,
                        max_uses,
                        expires_at: None,
                        issued_by: None,
                        issued_by_key: None,
                        now,
                    },
                );
            }
            10 => self.workspace(id, WC::DisableInviteCode),
            _ if number % 3 == 0 => self.workspace(id, WC::Delete),
            _ => {
                let members = self.members(id);
                let Some(to) = self.pick(&members).filter(|to| *to != details.owner_id) else { return };
                if details.suspension.is_some()
                    || details.archived
                    || self.memberships[&(id, to.clone())].standing(now) != Standing::Active
                {
                    return;
                }
                self.workspace(id, WC::TransferOwnership { to: to.clone() });
                self.member(id, &to, MC::Crown);
                self.member(id, &details.owner_id, MC::Uncrown);
            }
        }
    }

    fn sessions_of(&self, user: &UserId) -> Vec<SessionId> {
        let home = WorkspaceId::personal(user);
        self.sessions.keys().filter(|key| key.0 == home).map(|key| key.1).collect()
    }

    fn something_with_session(&mut self, team: WorkspaceId, user: &UserId) {
        let now = self.now;
        let home = WorkspaceId::personal(user);
        let workspace_id = if self.below(2) == 0 { team } else { home };
        let sessions = self.sessions_of(user);
        let Some(id) = self.pick(&sessions).filter(|_| self.below(3) > 0) else {
            let session_id = SessionId(self.uuid());
            let (user_id, lifetime) = (user.clone(), Duration::seconds(200));
            return self.session(
                user,
                session_id,
                SC::Start { session_id, user_id, workspace_id, lifetime, now },
            );
        };
        match self.below(4) {
            0 => self.session(user, id, SC::End { because: Ending::SignedOut }),
            _ => self.session(user, id, SC::Switch { workspace_id, because: Switching::Chosen, now }),
        }
    }

    fn members(&self, workspace: WorkspaceId) -> Vec<UserId> {
        let here = self.memberships.iter().filter(|(key, m)| key.0 == workspace && m.terms().is_some());
        here.map(|(key, _)| key.1.clone()).collect()
    }

    fn something_with_invitation(&mut self, workspace: WorkspaceId, user: &UserId) {
        let (now, lifetime) = (self.now, Duration::days(7));
        let here: Vec<InvitationId> =
            self.invitations.keys().filter(|key| key.0 == workspace).map(|key| key.1).collect();
        let profile = self.users[user].active().unwrap().clone();
        let Some(id) = self.pick(&here).filter(|_| self.below(3) > 0) else {
            let Some(email) = profile.email else { return };
            let invitation_id = InvitationId(self.uuid());
            let (role, invited_by, notify) = (self.any_role(workspace), Some(user.clone()), true);
            let send = IC::Send {
                invitation_id,
                email,
                role,
                invited_by,
                invited_by_key: None,
                lifetime,
                notify,
                mailing: Mailing::default(),
                now,
            };
            return self.invitation(workspace, invitation_id, send);
        };
        let generation = self.invitations[&(workspace, id)].offer().map_or(0, |offer| offer.generation);
        match self.below(5) {
            0 => self.invitation(
                workspace,
                id,
                IC::Resend { lifetime, notify: false, mailing: Mailing::default(), now },
            ),
            1 => self.invitation(workspace, id, IC::Revoke { now }),
            2 => self.invitation(workspace, id, IC::Decline { generation, profile: None, now }),
            _ => self.invitation(workspace, id, IC::Accept { generation, profile, now }),
        }
    }

    fn something_with_member(&mut self, workspace: WorkspaceId, user: &UserId) {
        let now = self.now;
        let members = self.members(workspace);
        let Some(member) = self.pick(&members).filter(|_| self.below(3) > 0) else {
            let code = self.workspaces[&workspace].living().ok().and_then(|d| d.invite_code.clone());
            let through =
                code.map_or(Entrance::Added, |code| Entrance::InviteCode { generation: code.generation });
            let expires_at = (self.below(4) == 0).then(|| now + Duration::seconds(40));
            let (user_id, role) = (user.clone(), self.any_role(workspace));
            return self.member(workspace, user, MC::Start { user_id, role, expires_at, through, now });
        };
        let owner = self.workspaces[&workspace].owner() == Some(&member);
        let role = self.any_role(workspace);
        let expires_at = (self.below(2) == 0).then(|| now + Duration::days(1));
        let command = match self.below(9) {
            0..=1 => MC::ChangeRole { role, owner, now },
            2 => MC::ChangeExpiry { expires_at, owner, now },
            3..=4 => MC::Deactivate { reason: Some("away".to_owned()), owner, now },
            5 => MC::Reactivate { now },
            6 => MC::Leave { owner, now },
            7 => MC::Expire { now },
            _ => MC::Remove { owner },
        };
        self.member(workspace, &member, command);
    }
}
