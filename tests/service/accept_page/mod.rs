//! Tenure's own page for an invitation's link, in a real browser (attacks 24 and 27).

mod answering;
mod browser;
mod refusals;
mod serving;
mod showing;

use std::sync::Arc;

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tenure::commands::Precondition;
use tenure::commands::invitations::{Invite, NewInvitation, Roster};
use tenure::config::Settings;
use tenure::store::Origin;
use tenure::store::origin::Actor;
use tenure::{clock, ids};
use tenure_aggregates::invitation::Mailing;
use tenure_aggregates::values::Email;
use tenure_aggregates::{InvitationId, Role, UserId, WorkspaceId};

use crate::support::Acme;
use crate::support::issuer::TestIssuer;
use browser::Browser;

/// Acme behind an issuer, whose users can sign in.
struct Site {
    acme: Acme,
    issuer: TestIssuer,
}

impl Site {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        let issuer = TestIssuer::start().await;
        let acme = Acme::found_with(|settings| {
            settings.jwt_issuers = Some(issuer.setting());
            change(settings);
        });
        Self { acme: acme.await, issuer }
    }

    fn page(&self) -> String {
        format!("{}/accept", self.acme.service.url)
    }

    fn link(&self, token: &str) -> String {
        format!("{}#{token}", self.page())
    }

    /// Follows an invitation's link in a window that may show another page of ours.
    async fn follow(&self, browser: &Browser, token: &str) {
        browser.client.goto("about:blank").await.unwrap();
        browser.client.goto(&self.link(token)).await.unwrap();
    }

    /// Signs a user in as a product's page does: with the issuer's token, for the session's cookie.
    async fn sign_in(&self, browser: &Browser, user: &str) {
        let token = self.issuer.token(user, clock::now().timestamp());
        let asks = format!(
            "fetch('/v1/session', {{method: 'POST', body: '{{}}', headers: {{authorization: 'Bearer {token}', \
             'content-type': 'application/json'}}}}).then((answer) => answer.status)"
        );
        assert_eq!(browser.value(&asks).await, 201, "{user} signs in");
    }

    /// Follows a link as a user who is signed in.
    async fn follow_as(&self, browser: &Browser, user: &str, token: &str) {
        browser.client.goto(&self.page()).await.unwrap();
        browser.is("no_token").await;
        self.sign_in(browser, user).await;
        self.follow(browser, token).await;
    }

    /// An invitation for an address that ran out five minutes ago.
    async fn expired(&self, email: &str) -> String {
        let app = self.acme.service.app();
        let invitation = NewInvitation {
            id: InvitationId(ids::new_v7()),
            email: Email::parse(email).unwrap(),
            role: Role::Member,
            lifetime: TimeDelta::minutes(5),
            notify: false,
            mailing: Mailing::default(),
        };
        let id = invitation.id;
        let workspace = WorkspaceId(self.acme.id.parse().unwrap());
        let roster = Roster { reads: app.reads.clone(), access: app.access.clone() };
        let invite = Invite { workspace, invitation, roster, precondition: Precondition::None };
        let ada = Actor::User(UserId::parse("ada").unwrap());
        let origin = Arc::new(Origin { actor: Some(ada), ..Origin::default() });
        let then = || clock::now() - TimeDelta::minutes(10);
        app.store.run(&invite, origin, None, then).await.unwrap();
        tenure::secrets::invitation_token::issue(&app.keys.invitation_token, id.0, 1)
    }

    async fn is_member(&self, user: &str) -> bool {
        let path = self.acme.at(&format!("/members/{user}"));
        self.acme.ada().get(&path).await.status == StatusCode::OK
    }

    /// How an invitation stands.
    async fn status(&self, invitation: &str) -> String {
        self.acme.ada().sees(&self.acme.at(&format!("/invitations/{invitation}"))).await.text("status")
    }

    /// An operator's change to the workspace.
    async fn operator(&self, method: Method, rest: &str, body: serde_json::Value) {
        let answer = self.acme.service.operator().send(method, &self.acme.at(rest), Some(&body), &[]).await;
        answer.expect(StatusCode::OK);
    }

    async fn seats(&self, limit: u32) {
        self.operator(Method::PATCH, "", json!({"seats": {"limit": limit}})).await;
    }

    async fn stop(self) {
        self.acme.stop().await;
    }
}
