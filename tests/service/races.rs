//! Everybody at once: ownership, slugs, suspension, deletion, lost clients, two processes (attacks 29 to 34 and 36).

use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::json;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_projections::recorded::{Event, Recorded};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::service::OPERATOR_KEY;
use crate::support::{Acme, Answer, TestService, User, log, model};

async fn pause(micros: u64) {
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

async fn history(service: &TestService, workspace: &str) -> Vec<Recorded> {
    let events = log::events(service).await.into_iter();
    events.filter(|event| event.workspace_id.to_string() == workspace).collect()
}

#[tokio::test]
async fn of_a_transfer_and_the_removal_of_the_heir_one_is_refused() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let carol = service.provision("carol").await;
    let (mut transfers, mut removals) = (0, 0);
    // Microseconds before the one and the other: close together, and far enough apart that either comes first for certain.
    let before = [0, 400, 2_000, 60_000];
    for round in 0..16 {
        let acme = ada.creates("Acme").await;
        let base = format!("/v1/workspaces/{acme}");
        ada.put(&format!("{base}/members/bob"), json!({})).await.expect(StatusCode::CREATED);
        ada.put(&format!("{base}/members/carol"), json!({"role": "admin"})).await.expect(StatusCode::CREATED);
        let heir = format!("{base}/members/bob");
        let (transfer, removal) = tokio::join!(
            async {
                pause(before[round % 4]).await;
                ada.post(&format!("{base}/transfer-ownership"), json!({"to": "bob"})).await
            },
            async {
                pause(before[3 - round % 4]).await;
                match round % 3 {
                    0 => bob.delete(&heir).await,
                    1 => carol.delete(&heir).await,
                    _ => carol.post(&format!("{heir}/deactivate"), json!({})).await,
                }
            }
        );
        match (transfer.status.as_u16(), removal.status.as_u16()) {
            (200, _) => {
                transfers += 1;
                let code = if round % 3 == 0 { "owner_cannot_leave" } else { "owner_required" };
                removal.refused(409, code);
                let members = bob.get(&format!("{base}/members?role=owner")).await.body;
                assert_eq!(members["items"][0]["user_id"], "bob");
            }
            (409, 200 | 204) => {
                removals += 1;
                transfer.refused(409, "not_an_active_member");
            }
            _ => panic!("{transfer:?} {removal:?}"),
        }
    }
    assert!(transfers > 0 && removals > 0, "{transfers} transfers and {removals} removals are no race");
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn two_transfers_make_one_chain() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    for name in ["bob", "carol"] {
        service.provision(name).await;
    }
    for round in 0..12_u64 {
        let acme = ada.creates("Acme").await;
        let base = format!("/v1/workspaces/{acme}");
        for name in ["bob", "carol"] {
            ada.put(&format!("{base}/members/{name}"), json!({})).await.expect(StatusCode::CREATED);
        }
        let give = async |to: &str, after: u64| {
            pause(after).await;
            ada.post(&format!("{base}/transfer-ownership"), json!({"to": to})).await
        };
        let (first, second) = tokio::join!(give("bob", round % 2 * 300), give("carol", round % 3 * 150));
        let (won, lost) = if first.status == StatusCode::OK { (first, second) } else { (second, first) };
        let owner = won.expect(StatusCode::OK).text("owner_id");
        assert_eq!(lost.refused(403, "permission_denied").body["permission"], "workspace:transfer");
        let now = ada.get(&base).await.expect(StatusCode::OK);
        assert_eq!(now.text("owner_id"), owner);
        // The old owner stays, as admin, and takes nothing back.
        let member = ada.get(&format!("{base}/members/ada")).await.expect(StatusCode::OK);
        assert_eq!(member.text("role"), "admin");
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn of_fifty_creators_of_one_slug_one_wins() {
    let service = TestService::start().await;
    let names: Vec<String> = (0..50).map(|n| format!("creator-{n}")).collect();
    let creators = join_all(names.iter().map(|name| service.provision(name))).await;
    let before = log::head(&service).await;
    let body = json!({"name": "Wanted", "slug": "wanted"});
    let answers = join_all(creators.iter().map(|user| user.post("/v1/workspaces", body.clone()))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == StatusCode::CREATED);
    assert_eq!((won.len(), lost.len()), (1, 49));
    for answer in lost {
        answer.refused(409, "slug_taken");
    }
    // Created, claimed, joined: nothing else, and of one workspace.
    let id = won[0].text("id");
    assert_eq!(log::head(&service).await, before + 3);
    assert_eq!(history(&service, &id).await.len(), 3);
    let found = service.operator().get("/v1/workspaces/by-slug/wanted").await.expect(StatusCode::OK);
    assert_eq!(found.text("id"), id);
    // Changing to it loses as cleanly; giving it up while others want it lets exactly one have it.
    let others = join_all(creators.iter().take(12).map(|user| user.creates("Other"))).await;
    let owner = won[0].text("owner_id");
    let (freed, answers) = tokio::join!(
        async {
            pause(2000).await;
            service.user(&owner).patch(&format!("/v1/workspaces/{id}"), json!({"slug": null})).await
        },
        join_all(creators.iter().zip(&others).enumerate().map(async |(n, (user, other))| {
            pause(n as u64 * 900).await;
            user.patch(&format!("/v1/workspaces/{other}"), json!({"slug": "wanted"})).await
        }))
    );
    freed.expect(StatusCode::OK);
    let won = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert!(won <= 1, "{won} have it");
    for answer in answers.into_iter().filter(|answer| answer.status != StatusCode::OK) {
        answer.refused(409, "slug_taken");
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn every_write_is_before_the_suspension_or_refused() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let joiners: Vec<String> = (0..12).map(|n| format!("joiner-{n}")).collect();
    join_all(joiners.iter().map(|name| service.provision(name))).await;
    for round in 0..4_u64 {
        let acme = ada.creates("Acme").await;
        let base = format!("/v1/workspaces/{acme}");
        service.operator().patch(&base, json!({"seats": {"limit": 50}})).await.expect(StatusCode::OK);
        let code = ada.put(&format!("{base}/invite-code"), json!({})).await.text("code");
        let writes = stream::iter(0..36_u64).map(|n| {
            let (base, code, ada) = (&base, &code, &ada);
            let joiner = service.user(&joiners[usize::try_from(n / 3).unwrap()]);
            async move {
                pause(n * 250).await;
                match n % 3 {
                    0 => joiner.post("/v1/join", json!({"code": code})).await,
                    1 => ada.patch(base, json!({"name": format!("{round}.{n}")})).await,
                    _ => {
                        let body = json!({"email": format!("guest-{n}@example.com")});
                        ada.post(&format!("{base}/invitations"), body).await
                    }
                }
            }
        });
        let (suspended, writes) = tokio::join!(
            async {
                pause(1500 + round * 1500).await;
                service.operator().post(&format!("{base}/suspend"), json!({})).await.expect(StatusCode::OK)
            },
            writes.buffer_unordered(36).collect::<Vec<_>>()
        );
        let at = log::position(&suspended);
        for write in writes {
            match write.status.as_u16() {
                200 | 201 => assert!(log::position(&write) < at, "{write:?}"),
                _ => drop(write.refused(423, "workspace_suspended")),
            }
        }
        let last = history(&service, &acme).await.pop().unwrap();
        assert!(
            matches!(last.event, Event::Workspace(WorkspaceEvent::WorkspaceSuspended { .. })),
            "{last:?}"
        );
        assert_eq!(last.position, at);
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn nothing_exists_after_a_deletion() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let joiners: Vec<String> = (0..15).map(|n| format!("joiner-{n}")).collect();
    join_all(joiners.iter().map(|name| service.provision(name))).await;
    for round in 0..4_u64 {
        let acme = ada.creates("Acme").await;
        let base = format!("/v1/workspaces/{acme}");
        let limit = json!({"seats": {"limit": 50}});
        service.operator().patch(&base, limit).await.expect(StatusCode::OK);
        let code = ada.put(&format!("{base}/invite-code"), json!({})).await.text("code");
        let mut tokens = Vec::new();
        for joiner in joiners.iter().take(5) {
            tokens.push(ada.invites(&acme, &format!("{joiner}@example.com"), "member").await);
        }
        let (deleted, answers) = tokio::join!(
            async {
                pause(round * 2500).await;
                ada.delete(&base).await.expect(StatusCode::NO_CONTENT)
            },
            join_all(joiners.iter().enumerate().map(async |(n, name)| {
                pause(n as u64 % 5 * 1500).await;
                match n {
                    0..5 => service.user(name).accepts(&tokens[n]).await,
                    5..10 => service.user(name).post("/v1/join", json!({"code": code})).await,
                    _ => ada.put(&format!("{base}/members/{name}"), json!({})).await,
                }
            }))
        );
        let at = log::position(&deleted);
        for answer in answers {
            if answer.status.is_success() {
                assert!(log::position(&answer) < at, "{answer:?}");
            } else {
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
            }
        }
        let history = history(&service, &acme).await;
        let end = history.iter().position(|event| {
            matches!(event.event, Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }))
        });
        // What the deletion itself gives back comes with it.
        let later: Vec<_> =
            history[end.unwrap() + 1..].iter().map(|e| (e.position, e.event.name())).collect();
        assert!(later.iter().all(|(p, name)| *p <= at && *name == "ClaimReleased"), "{later:?}");
        for name in joiners.iter().take(6) {
            let switcher = service.user(name).get(&format!("/v1/users/{name}/workspaces")).await.body;
            assert_eq!(switcher["items"].as_array().unwrap().len(), 1, "{switcher}");
        }
    }
    model::replay(&service).await;
    service.stop().await;
}

/// Sends a whole request over a socket of its own and hangs up after a while, without reading.
async fn hang_up(service: &TestService, actor: &str, method: &str, path: &str, body: &str, after: u64) {
    let address = service.url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {OPERATOR_KEY}\r\nTenure-Actor: {actor}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let cut = head.len() - usize::try_from(after % 7).unwrap();
    socket
        .write_all(&head.as_bytes()[..if after.is_multiple_of(5) { cut } else { head.len() }])
        .await
        .unwrap();
    pause(after).await;
}

#[tokio::test]
async fn clients_that_hang_up_leave_nothing_behind() {
    let service = TestService::start_with(|settings| settings.pool_size = 3).await;
    let ada = service.provision("ada").await;
    service.provision("bob").await;
    let acme = ada.creates("Acme").await;
    let base = format!("/v1/workspaces/{acme}");
    let mut random = StdRng::seed_from_u64(36);
    let lost: Vec<_> =
        (0..300).map(|n| (n, random.random_range(0..6000_u64), random.random_range(0..6))).collect();
    stream::iter(lost)
        .for_each_concurrent(16, async |(n, after, what)| {
            let limit = Duration::from_micros(after);
            let member = format!("{base}/members/bob");
            match what {
                0 => drop(tokio::time::timeout(limit, ada.get(&format!("{base}/members"))).await),
                1 => {
                    let create = ada.post("/v1/workspaces", json!({"name": format!("Lost {n}")}));
                    drop(tokio::time::timeout(limit, create).await);
                }
                2 => drop(tokio::time::timeout(limit, ada.put(&member, json!({}))).await),
                3 => drop(tokio::time::timeout(limit, ada.delete(&member)).await),
                4 => {
                    let body = json!({"description": format!("lost {n}")}).to_string();
                    hang_up(&service, "ada", "PATCH", &base, &body, after).await;
                }
                _ => hang_up(&service, "ada", "GET", &format!("{base}/events"), "", after).await,
            }
        })
        .await;
    let mut positions = Vec::new();
    for n in 0..200 {
        let body = json!({"description": format!("kept {n}")});
        positions.push((n, log::position(&ada.patch(&base, body).await.expect(StatusCode::OK))));
    }
    let events = log::events(&service).await;
    for (n, position) in positions {
        let event = &events[usize::try_from(position).unwrap() - 1];
        let Event::Workspace(WorkspaceEvent::WorkspaceProfileChanged(change)) = &event.event else {
            panic!("{position} is not what was written: {event:?}");
        };
        let description = change.description.clone().unwrap().to;
        assert_eq!(description, Some(format!("kept {n}")));
    }
    model::replay(&service).await;
    service.stop().await;
}

/// One command at random, which may well be refused; never a 5xx.
async fn command(by: &User<'_>, workspace: &str, random: u32) -> Answer {
    let base = format!("/v1/workspaces/{workspace}");
    let member = format!("{base}/members/user-{}", random / 8 % 6);
    match random % 8 {
        0 => by.post("/v1/workspaces", json!({"name": "More"})).await,
        1 => by.put(&member, json!({"role": "admin"})).await,
        2 => by.delete(&member).await,
        3 => by.patch(&member, json!({"role": "moderator"})).await,
        4 => {
            by.post(&format!("{base}/transfer-ownership"), json!({"to": format!("user-{}", random / 8 % 6)}))
                .await
        }
        5 => {
            by.post(&format!("{base}/invitations"), json!({"email": format!("g{random}@example.com")})).await
        }
        6 => by.put(&format!("{base}/invite-code"), json!({})).await,
        _ => by.patch(&base, json!({"description": format!("{random}")})).await,
    }
}

#[tokio::test]
async fn two_processes_on_one_database_lose_and_double_nothing() {
    let service = TestService::start().await;
    let sibling = service.sibling().await;
    let names: Vec<String> = (0..6).map(|n| format!("user-{n}")).collect();
    for name in &names {
        service.provision(name).await;
    }
    let mut shared = Vec::new();
    for owner in names.iter().take(3) {
        let id = service.user(owner).creates("Shared").await;
        for name in names.iter().take(4).filter(|name| *name != owner) {
            let path = format!("/v1/workspaces/{id}/members/{name}");
            service.operator().put(&path, json!({"role": "admin"})).await.expect(StatusCode::CREATED);
        }
        shared.push(id);
    }
    let before = log::head(&service).await;
    let mut random = StdRng::seed_from_u64(2);
    let commands: Vec<(usize, usize, u32)> =
        (0..240).map(|_| (random.random_range(0..3), random.random_range(0..6), random.random())).collect();
    let answers = stream::iter(commands.into_iter().enumerate())
        .map(|(n, (space, user, what))| {
            let (service, shared, names) = (if n % 2 == 0 { &service } else { &sibling }, &shared, &names);
            async move { command(&service.user(&names[user]), &shared[space], what).await }
        })
        .buffer_unordered(12)
        .collect::<Vec<_>>()
        .await;
    let events = log::events(&service).await;
    let mut told: Vec<String> = Vec::new();
    for answer in &answers {
        assert!(!answer.status.is_server_error(), "{answer:?}");
        let request = answer.header("x-request-id").unwrap();
        let mine: Vec<_> =
            events.iter().filter(|e| e.metadata.request_id.as_deref() == Some(request)).collect();
        if answer.status.is_success() {
            let last = mine.last().map(|event| event.position);
            // Nothing had to change, or the last event stands where the answer says.
            assert!(last.is_none() || last == Some(log::position(answer)), "{answer:?} {mine:?}");
            let span = mine.len();
            assert!(
                span == 0 || mine[span - 1].position - mine[0].position + 1 == i64::try_from(span).unwrap()
            );
            told.push(request.to_owned());
        } else {
            assert!(mine.is_empty(), "refused, and yet {mine:?}");
        }
    }
    let unknown = events
        .iter()
        .filter(|event| event.position > before)
        .find(|event| event.metadata.request_id.as_ref().is_none_or(|request| !told.contains(request)));
    assert_eq!(unknown, None, "an event that nobody was told of");
    let conflicts = answers.iter().filter(|answer| answer.body["code"] == "conflict").count();
    assert!(conflicts <= 6, "{conflicts} conflicts");
    assert!(told.len() > 80, "only {} commands happened", told.len());
    // Each reads what the other wrote, once it is told how far that is.
    let head = log::head(&service).await;
    for id in &shared {
        let read = async |service: &TestService| {
            let request =
                service.operator().request(reqwest::Method::GET, &format!("/v1/workspaces/{id}/members"));
            Answer::of(request.header("Tenure-Position", head)).await.expect(StatusCode::OK).body
        };
        assert_eq!(read(&service).await, read(&sibling).await);
    }
    model::replay(&service).await;
    sibling.leave().await;
    service.stop().await;
}

// What this process keeps of a stream is older than what it has just read: it learns, and turns nobody away.
#[tokio::test]
async fn a_process_goes_on_from_what_another_wrote() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let (ada, bob) = (acme.ada(), acme.service.user("bob"));
    let deactivate = acme.at("/members/bob/deactivate");
    ada.post(&deactivate, json!({})).await.expect(StatusCode::OK);
    bob.patch(&acme.at(""), json!({"name": "Mine"})).await.refused(403, "permission_denied");
    let reactivate = acme.at("/members/bob/reactivate");
    sibling.user("ada").post(&reactivate, json!({})).await.expect(StatusCode::OK);
    bob.patch(&acme.at(""), json!({"name": "Ours"})).await.expect(StatusCode::OK);
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn who_joined_a_new_workspace_through_another_process_is_a_member_here() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let sibling = service.sibling().await;
    for name in ["bob", "carol"] {
        service.provision(name).await;
    }
    for round in 0..5 {
        // All of it is remembered here, and the other process writes to it all the same.
        let acme = ada.creates(&format!("Acme {round}")).await;
        let member = format!("/v1/workspaces/{acme}/members/bob");
        let added = sibling.user("ada").put(&member, json!({"role": "admin"})).await;
        added.expect(StatusCode::CREATED);
        if round % 2 == 1 {
            sibling.user("ada").delete(&member).await.expect(StatusCode::NO_CONTENT);
        }
        // Told of something else it wrote, or not.
        if round == 2 {
            let carol = format!("/v1/workspaces/{acme}/members/carol");
            ada.put(&carol, json!({})).await.expect(StatusCode::CREATED);
        }
        let again = ada.put(&member, json!({"role": "member"})).await;
        again.expect(if round % 2 == 1 { StatusCode::CREATED } else { StatusCode::OK });
    }
    // Streams without holes, heads and seats that say what the log says.
    service.check_invariants().await;
    model::replay(&service).await;
    sibling.leave().await;
    service.stop().await;
}
