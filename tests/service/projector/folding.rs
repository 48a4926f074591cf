//! The folds themselves: borders of batches do not matter, and the rows say what the aggregates say.

use std::collections::BTreeSet;

use tenure_aggregates::authority::Authority;
use tenure_aggregates::membership::Standing;
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::{ApiKey, Catalogue, Role, WorkspaceId};
use tenure_projections::{
    Event, TenantTx, api_keys, audit_log, history as log, invitations, members, permissions, sessions, users,
    webhook_endpoints, workspaces,
};
use uuid::Uuid;

use super::database::{Database, assert_same};
use super::history::History;

#[tokio::test(flavor = "multi_thread")]
async fn the_borders_of_batches_do_not_matter() {
    let db = Database::new().await;
    for seed in 1..=6 {
        let mut history = History::of(seed, 300);
        let events = history.decoded();
        let at_once = db.fold(&events, || usize::MAX).await;
        assert_same(&at_once, &db.fold(&events, || 1).await, &format!("seed {seed}, one by one"));
        assert_same(
            &at_once,
            &db.fold(&events, || 1 + history.below(20)).await,
            &format!("seed {seed}, at random"),
        );
        for (table, rows) in &at_once {
            assert!(!rows.is_empty() || table == "deactivated_members", "seed {seed}: no rows in {table}");
        }
    }
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_say_what_the_aggregates_say() {
    let db = Database::new().await;
    for seed in 11..=14 {
        let mut history = History::of(seed, 600);
        let events = history.decoded();
        db.append(&history.events).await;
        db.fold(&events, || 1 + history.below(60)).await;
        compare(&db, &history).await;
        sqlx::raw_sql(
            "set session_replication_role = replica; truncate events; set session_replication_role = origin",
        )
        .execute(&db.owner)
        .await
        .unwrap();
    }
    db.remove().await;
}

async fn compare(db: &Database, history: &History) {
    let catalogue = history.catalogue();
    let mut tx = TenantTx::begin(&db.service, Catalogue::home()).await.unwrap();
    assert_eq!(permissions::catalogue(&mut tx).await.unwrap(), catalogue);
    tx.close().await.unwrap();
    for (id, workspace) in &history.workspaces {
        let mut tx = TenantTx::begin(&db.service, *id).await.unwrap();
        let row = workspaces::find(&mut tx).await.unwrap();
        let everybody =
            members::list(&mut tx, &members::Filter::default(), None, 500, history.now).await.unwrap();
        let Ok(details) = workspace.living() else {
            assert_eq!((row, everybody.len()), (None, 0), "{id} was deleted");
            assert_eq!(api_keys::list(&mut tx, None, 500).await.unwrap(), []);
            assert_eq!(webhook_endpoints::list(&mut tx, None, None, 500).await.unwrap(), []);
            continue;
        };
        let row = row.unwrap();
        assert_eq!((&row.name, row.owner_id.as_str()), (&details.profile.name, details.owner_id.as_str()));
        let status = (details.suspension.is_some(), details.archived);
        assert_eq!((row.suspended_since.is_some(), row.archived), status);
        assert_eq!(row.plan, details.plan);
        let roles = details.roles.iter().map(|(name, role)| (name.to_string(), role.clone()));
        assert_eq!(row.roles.0, roles.collect(), "roles of {id}");
        let promised = details.invite_code.as_ref().map(|code| code.role.to_string());
        assert_eq!(row.code_role, promised, "the code of {id}");
        assert_eq!(row.code_generation, details.invite_code.as_ref().map(|c| c.generation.cast_signed()));
        let here = || history.memberships.iter().filter(|(key, _)| key.0 == *id);
        let seats = here().filter(|(_, m)| m.takes_seat()).count();
        assert_eq!(usize::try_from(row.seats_used).unwrap(), seats, "seats of {id}");
        assert_eq!(everybody.len(), here().filter(|(_, m)| m.terms().is_some()).count());
        assert_eq!(everybody.iter().filter(|m| m.is_owner).count(), 1, "one owner");
        for ((_, user), membership) in here() {
            let found = members::find(&mut tx, user.as_str(), history.now).await.unwrap();
            let standing = members::standing(&mut tx, user.as_str()).await.unwrap().unwrap();
            let authority = Authority::of(workspace, membership, user, &catalogue, history.now);
            match standing.active_role(history.now) {
                Some(role) => {
                    let rights = standing.rights(&catalogue, history.now);
                    let expected = Authority::Member { role: role.clone(), rights };
                    assert_eq!(authority, expected, "{user} in {id}");
                }
                None => assert!(matches!(authority, Authority::Lapsed | Authority::Stranger)),
            }
            let status = match membership.standing(history.now) {
                Standing::Absent => None,
                Standing::Active => Some("active"),
                Standing::Deactivated => Some("deactivated"),
                Standing::Expired => Some("expired"),
            };
            assert_eq!(found.as_ref().map(|m| m.status.as_str()), status);
            let profile = history.users[user].active().ok();
            if let Some(found) = found {
                assert_eq!(found.name, profile.and_then(|p| p.name.clone()));
                assert_eq!(found.role == Role::Owner.as_str(), found.is_owner);
                let role = workspace.effective_role(membership, user);
                assert_eq!(Some(found.role), role.map(|role| role.to_string()), "{user} in {id}");
            }
        }
        for ((_, invitation), state) in history.invitations.iter().filter(|(key, _)| key.0 == *id) {
            let row = invitations::find(&mut tx, *invitation, history.now).await.unwrap();
            let (status, role) = row.map_or(("missing".to_owned(), None), |row| (row.status, Some(row.role)));
            assert_eq!(status, state.status(history.now));
            assert_eq!(role.as_deref(), state.offer().map(|offer| offer.role.as_str()), "{invitation}");
        }
        compare_api_keys(db, history, &mut tx).await;
        compare_webhook_endpoints(history, &mut tx).await;
        let events = log::page(&mut tx, 0, 10_000).await.unwrap();
        let entries = audit_log::list(&mut tx, &audit_log::Filter::default(), None, 10_000).await.unwrap();
        let newest_first: Vec<i64> = events.iter().rev().map(|event| event.workspace_seq).collect();
        assert_eq!(entries.iter().map(|entry| entry.workspace_seq).collect::<Vec<_>>(), newest_first);
        assert!(entries.iter().all(|entry| !entry.changes.to_string().contains("hash")), "no code's hash");
        tx.close().await.unwrap();
    }
    compare_users(db, history).await;
}

async fn compare_users(db: &Database, history: &History) {
    for (user, state) in &history.users {
        let mut tx = TenantTx::begin(&db.service, WorkspaceId::personal(user)).await.unwrap();
        let row = users::find(&mut tx).await.unwrap().unwrap();
        let lines = users::workspaces_of(&mut tx, history.now).await.unwrap();
        compare_sessions(history, &mut tx, row.last_workspace_id).await;
        let Ok(profile) = state.active() else {
            assert_eq!((row.status.as_str(), row.email, row.name, lines.len()), ("erased", None, None, 0));
            continue;
        };
        assert_eq!(
            row.email.as_deref(),
            profile.email.as_ref().map(tenure_aggregates::values::Email::as_str)
        );
        assert_eq!(lines[0].workspace_id, WorkspaceId::personal(user).0, "the personal workspace first");
        let mut expected: Vec<_> = history
            .memberships
            .iter()
            .filter(|((w, u), m)| u == user && m.terms().is_some() && history.workspaces[w].living().is_ok())
            .map(|((w, _), m)| {
                let (workspace, details) = (&history.workspaces[w], history.workspaces[w].living().unwrap());
                let role = workspace.effective_role(m, user).unwrap().to_string();
                (w.0, details.profile.name.clone(), role, details.plan.clone())
            })
            .collect();
        let mut found: Vec<_> =
            lines.into_iter().map(|line| (line.workspace_id, line.name, line.role, line.plan)).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "the switcher of {user}");
    }
}

/// The sessions that lie in a personal workspace, and where the last of them was last.
async fn compare_sessions(history: &History, tx: &mut TenantTx, last: Option<Uuid>) {
    let home = tx.workspace();
    let mine = history.sessions.iter().filter(|(key, _)| key.0 == home);
    let live = mine.filter(|(_, session)| session.live(history.now).is_ok()).map(|(key, _)| key.1.0);
    assert_eq!(
        sessions::live(tx, history.now).await.unwrap(),
        live.collect::<Vec<_>>(),
        "sessions of {home}"
    );
    let events = history.decoded();
    let entered = events.iter().rev().filter(|recorded| recorded.workspace_id == home).find_map(|recorded| {
        match &recorded.event {
            Event::Session(SessionEvent::SessionStarted { workspace_id, .. }) => Some(workspace_id.0),
            Event::Session(SessionEvent::SessionSwitched { workspace_id, .. }) => Some(workspace_id.to.0),
            _ => None,
        }
    });
    assert_eq!(last, entered, "the last workspace of {home}");
}

async fn compare_api_keys(db: &Database, history: &History, tx: &mut TenantTx) {
    let workspace = tx.workspace();
    for ((_, key), state) in history.api_keys.iter().filter(|(key, _)| key.0 == workspace) {
        let row = api_keys::find(tx, key.0).await.unwrap().unwrap();
        assert_eq!(row.revoked_at.is_some(), *state == ApiKey::Revoked, "{key}");
        let Some(terms) = state.terms() else { continue };
        assert_eq!((&row.name, &row.hint), (&terms.name, &terms.secret.hint));
        assert_eq!((row.expires_at, row.created_at), (terms.expires_at, terms.created_at));
        assert_eq!(row.previous_until, terms.previous.as_ref().map(|(_, until)| *until));
        assert_eq!(row.permissions, terms.permissions.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(row.networks, terms.networks);
        assert_eq!(row.networks_seen.into_iter().collect::<BTreeSet<_>>(), terms.networks_seen);
        assert_eq!(row.created_by, terms.created_by.as_ref().map(ToString::to_string));
        for secret in terms.previous.iter().map(|(secret, _)| secret).chain([&terms.secret]) {
            let found = api_keys::find_by_hash(&db.projector, &secret.hash).await.unwrap();
            assert_eq!(found, Some((workspace.0, key.0)));
        }
    }
}

async fn compare_webhook_endpoints(history: &History, tx: &mut TenantTx) {
    let workspace = tx.workspace();
    let here = history.webhook_endpoints.iter().filter(|(key, _)| key.0 == workspace);
    for ((_, endpoint), state) in here {
        let row = webhook_endpoints::find(tx, endpoint.0).await.unwrap();
        assert_eq!(row.is_some(), state.target().is_some(), "{endpoint}");
        let (Some(row), Some(target)) = (row, state.target()) else { continue };
        assert_eq!((&row.url, &row.events), (&target.url, &target.events));
        assert_eq!((&row.description, row.created_at), (&target.description, target.created_at));
        assert_eq!(row.generation, target.generation.cast_signed());
        assert_eq!(row.previous_until, target.previous_until);
        assert_eq!(row.disabled, target.disabled.map(|because| because.to_string()));
        assert_eq!(row.created_by, target.created_by.as_ref().map(ToString::to_string));
    }
    let living = history.webhook_endpoints.iter().filter(|(key, _)| key.0 == workspace);
    let living = living.filter(|(_, state)| state.target().is_some()).count();
    assert_eq!(webhook_endpoints::count(tx).await.unwrap(), i64::try_from(living).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_filter_and_page() {
    let db = Database::new().await;
    let mut history = History::new(5);
    let owner = history.provision();
    let team = history.create_team(&owner);
    for _ in 0..9 {
        let user = history.provision();
        history.join(team, &user, Role::Moderator);
    }
    db.append(&history.events).await;
    db.fold(&history.decoded(), || usize::MAX).await;
    let mut tx = TenantTx::begin(&db.service, team).await.unwrap();
    let now = history.now;
    let (mut seen, mut after) = (vec![], None);
    loop {
        let after_row = after.as_ref().map(|(at, id): &(_, String)| (*at, id.as_str()));
        let page = members::list(&mut tx, &members::Filter::default(), after_row, 4, now).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.joined_at, last.user_id.clone()));
        seen.extend(page.into_iter().map(|member| member.user_id));
    }
    assert_eq!(seen, (0..10).map(|number| format!("user-{number}")).collect::<Vec<_>>());
    let count =
        async |tx: &mut TenantTx, filter| members::list(tx, &filter, None, 500, now).await.unwrap().len();
    let q = |q| members::Filter { q: Some(q), ..Default::default() };
    assert_eq!(count(&mut tx, members::Filter { role: Some("owner"), ..Default::default() }).await, 1);
    assert_eq!(count(&mut tx, members::Filter { status: Some("expired"), ..Default::default() }).await, 0);
    assert_eq!(count(&mut tx, q("USER-3@EXAMPLE")).await, 1);
    assert_eq!(count(&mut tx, q("%")).await, 0, "no wildcards");
    assert_eq!(count(&mut tx, q("_")).await, 0, "no wildcards");
    assert_eq!(members::find_by_email(&mut tx, "user-3@example.org", now).await.unwrap().len(), 1);
    let action = |action: &str| audit_log::Filter { action: Some(action.to_owned()), ..Default::default() };
    let entries = audit_log::list(&mut tx, &action("membership.*"), None, 500).await.unwrap();
    assert_eq!((entries.len(), entries[0].target_id.as_str()), (10, "user-9"));
    assert_eq!(audit_log::list(&mut tx, &action("workspace.created"), None, 500).await.unwrap().len(), 1);
    assert_eq!(audit_log::list(&mut tx, &action("workspace.%"), None, 500).await.unwrap().len(), 0);
    tx.close().await.unwrap();
    db.remove().await;
}
