//! Random requests: whatever is sent, the answer is one of the contract's (attack 43).

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::support::{Acme, User};

const FIELDS: [&str; 33] = [
    "name",
    "slug",
    "owner_id",
    "description",
    "image_url",
    "website",
    "phone",
    "social",
    "x",
    "facebook",
    "linkedin",
    "instagram",
    "github",
    "seats",
    "limit",
    "email",
    "email_verified",
    "role",
    "expires_at",
    "expires_in",
    "notify",
    "invitations",
    "token",
    "code",
    "max_uses",
    "reason",
    "to",
    "owned",
    "transfer_to",
    "nonsense",
    "",
    "a/b~c",
    "type",
];

const TEXTS: [&str; 40] = [
    "",
    " ",
    "a",
    "Acme",
    "acme",
    "admin",
    "owner",
    "member",
    "king",
    "ada",
    "bob",
    "dave",
    "nobody",
    "a@example.com",
    "dave@example.com",
    "not an address",
    "https://a.example",
    "javascript:alert(1)",
    "http://",
    "https://[::1",
    "7d",
    "PT12H",
    "P",
    "PT",
    "P7",
    "-5m",
    "9223372036854775807s",
    "99999999999999999999999d",
    "2100-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "+262142-12-31T23:59:59Z",
    "2100-02-30T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "\u{0}",
    "a\u{0}b",
    "\u{202e}",
    "İı@EXAMPLE.com",
    "a@xn--fiq228c.example",
    "🦀🦀🦀",
    "tni_AAAA",
];

const PROFILE: &[&str] = &["name", "slug", "description", "image_url", "website", "phone", "social", "seats"];

fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0 => "x".repeat(rng.random_range(0..400)),
        1 => (0..rng.random_range(0..20)).map(|_| rng.random::<char>()).collect(),
        _ => (*TEXTS.choose(rng).unwrap()).to_owned(),
    }
}

fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth > 3 { 8 } else { 11 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random::<i64>()),
        3 => json!(rng.random_range(-2..400)),
        4 => json!(rng.random::<f64>() * 1e300),
        5..8 => Value::String(text(rng)),
        8 => Value::Array((0..rng.random_range(0..4)).map(|_| value(rng, depth + 1)).collect()),
        _ => object(rng, depth + 1),
    }
}

fn object(rng: &mut StdRng, depth: u32) -> Value {
    let fields = (0..rng.random_range(0..5)).map(|_| {
        let name = if rng.random_bool(0.9) { (*FIELDS.choose(rng).unwrap()).to_owned() } else { text(rng) };
        (name, value(rng, depth))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A body of the fields this route knows, each with a value that is often of the right kind.
fn likely(rng: &mut StdRng, fields: &[&str]) -> Value {
    let mut body = Map::new();
    for field in fields {
        if rng.random_bool(0.6) {
            body.insert((*field).to_owned(), value(rng, 2));
        }
    }
    Value::Object(body)
}

fn routes(acme: &Acme, invitation: &str) -> Vec<(Method, String, &'static [&'static str])> {
    let (put, post, patch) = (Method::PUT, Method::POST, Method::PATCH);
    let at = |rest: &str| acme.at(rest);
    let inv = |rest: &str| acme.at(&format!("/invitations/{invitation}/{rest}"));
    vec![
        (put.clone(), "/v1/users/zoe".to_owned(), &["email", "email_verified", "name"]),
        (post.clone(), "/v1/users/zoe/erase".to_owned(), &["owned"]),
        (post.clone(), "/v1/workspaces".to_owned(), &["name", "slug", "owner_id", "social"]),
        (patch.clone(), at(""), PROFILE),
        (post.clone(), at("/transfer-ownership"), &["to"]),
        (post.clone(), at("/suspend"), &["reason"]),
        (post.clone(), at("/resume"), &["reason"]),
        (post.clone(), at("/archive"), &[]),
        (post.clone(), at("/restore"), &[]),
        (put.clone(), at("/members/dave"), &["role", "expires_at"]),
        (patch, at("/members/carol"), &["role", "expires_at"]),
        (post.clone(), at("/members/carol/deactivate"), &["reason"]),
        (post.clone(), at("/members/carol/reactivate"), &[]),
        (post.clone(), at("/invitations"), &["email", "role", "expires_in", "notify"]),
        (post.clone(), at("/invitations/batch"), &["invitations"]),
        (post.clone(), inv("resend"), &["notify", "expires_in"]),
        (post.clone(), inv("revoke"), &[]),
        (post.clone(), "/v1/invitations/preview".to_owned(), &["token"]),
        (post.clone(), "/v1/invitations/accept".to_owned(), &["token"]),
        (post.clone(), "/v1/invitations/decline".to_owned(), &["token"]),
        (put, at("/invite-code"), &["role", "max_uses", "expires_at"]),
        (post, "/v1/join".to_owned(), &["code"]),
    ]
}

async fn sends(user: &User<'_>, method: &Method, path: &str, body: Vec<u8>, case: &str) {
    let shown = String::from_utf8_lossy(&body).into_owned();
    let answer = user.send_raw(method.clone(), path, "application/json", body).await;
    assert!(answer.status.as_u16() < 500, "{case}: {method} {path} {shown}: {:#}", answer.body);
    if answer.status.is_client_error() {
        answer.is_problem(answer.status.as_u16());
    }
}

/// Seeded: a failure names its case, and comes again.
async fn storm(seed: u64, cases: usize) {
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let mut rng = StdRng::seed_from_u64(seed);
    let routes = routes(&acme, &invitation);
    let (operator, ada) = (acme.service.operator(), acme.ada());
    let dave = acme.service.user("dave");
    for case in 0..cases {
        let (method, path, fields) = &routes[case % routes.len()];
        let body = if rng.random_bool(0.7) { likely(&mut rng, fields) } else { object(&mut rng, 0) };
        let mut bytes = serde_json::to_vec(&body).unwrap();
        if rng.random_bool(0.2) {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
        }
        let user = [&operator, &ada, &ada, &dave].choose(&mut rng).copied().unwrap();
        sends(user, method, path, bytes, &format!("seed {seed}, case {case}")).await;
    }
    acme.stop().await;
}

#[tokio::test]
async fn random_bodies_never_break_the_service() {
    storm(1, 700).await;
}

#[tokio::test]
async fn other_random_bodies_do_not_either() {
    storm(2, 700).await;
}

#[tokio::test]
async fn random_queries_and_paths_never_break_the_service() {
    let acme = Acme::found().await;
    let mut rng = StdRng::seed_from_u64(3);
    let names = [
        "limit",
        "cursor",
        "role",
        "status",
        "q",
        "email",
        "actor",
        "action",
        "target",
        "from",
        "to",
        "after",
        "size",
        "workspace_seq",
        "x",
    ];
    for case in 0..400 {
        let list = [
            "/members",
            "/invitations",
            "/audit-log",
            "/events",
            "/readiness",
            "/roles",
            "/audit-log/proofs/inclusion",
            "/audit-log/proofs/consistency",
        ]
        .choose(&mut rng)
        .unwrap();
        let mut query = form_urlencoded::Serializer::new(String::new());
        for _ in 0..rng.random_range(0..4) {
            query.append_pair(names.choose(&mut rng).unwrap(), &text(&mut rng));
        }
        let path = acme.at(&format!("{list}?{}", query.finish()));
        sends(&acme.ada(), &Method::GET, &path, Vec::new(), &format!("case {case}")).await;
        let id: String = form_urlencoded::byte_serialize(text(&mut rng).as_bytes()).collect();
        let path =
            [format!("/v1/users/{id}"), acme.at(&format!("/members/{id}")), format!("/v1/workspaces/{id}")];
        let path = path.choose(&mut rng).unwrap();
        sends(&acme.ada(), &Method::GET, path, Vec::new(), &format!("case {case}")).await;
    }
    acme.stop().await;
}
