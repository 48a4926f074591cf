//! Bad input: every field of every request body with every kind of bad value. Each is a 400 that names the field and
//! what is wrong with it, and leaves the log as it was.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::contract::documented_routes;
use crate::support::{Acme, TestService};

/// What a field is to hold.
#[derive(Clone, Copy)]
enum Kind {
    /// One line of so many characters.
    Line(usize),
    /// Several lines of so many characters.
    Paragraph(usize),
    Link(usize),
    Social,
    Email,
    Slug,
    UserId,
    Role,
    Flag,
    Expiry,
    Lifetime,
    Count,
    Token,
}

impl Kind {
    /// Values of the right type that are wrong all the same, each with its code.
    fn wrong(self) -> Vec<(Value, &'static str)> {
        let text = |text: &str, code| (Value::from(text), code);
        let long = |max: usize| (Value::from("x".repeat(max + 1)), "too_long");
        let blank = [text("", "required"), text(" \t ", "required")];
        let controls = ["a\u{7}b", "a\rb", "a\u{1b}[2Jb", "a\u{202e}b", "a\u{2028}b"];
        let controls = controls.map(|c| text(c, "control_character"));
        match self {
            Self::Line(max) => {
                [&blank[..], &controls, &[long(max), text("a\nb", "control_character")]].concat()
            }
            Self::Paragraph(max) => [&blank[..], &controls, &[long(max)]].concat(),
            Self::Link(max) => {
                let long = format!("https://x.example/{}", "x".repeat(max - 17));
                let wrong = [
                    "acme.example",
                    "//acme.example",
                    "/path",
                    "https:acme.example",
                    "http://",
                    "https://a b.example",
                    "ftp://acme.example",
                    "javascript:alert(1)",
                    "data:text/html,x",
                    "file:///etc/passwd",
                    "https://user:pass@acme.example",
                    "https://user@acme.example",
                    "http://[::1",
                    "https://x:99999",
                ];
                let wrong = wrong.map(|w| text(w, "invalid_url"));
                [&blank[..], &controls, &wrong, &[text(&long, "too_long")]].concat()
            }
            Self::Social => {
                let long = format!("https://x.example/{}", "x".repeat(238));
                let wrong = ["a b", "@", "ftp://x.example/acme", "@a@b", "javascript:alert(1)"];
                [&blank[..], &wrong.map(|w| text(w, "invalid_url")), &[text(&long, "too_long")]].concat()
            }
            Self::Email => {
                let wrong = [
                    "nonsense",
                    "a@",
                    "@b.example",
                    "a b@c.example",
                    "a@b@c.example",
                    "a@b..example",
                    ".a@b.example",
                    "a@-b.example",
                    "<a@b.example>",
                    "a@b.example,c@d.example",
                    "a@[127.0.0.1]",
                ];
                let long = format!("a@{}.example", "x".repeat(250));
                [&blank[..], &wrong.map(|w| text(w, "invalid_email")), &[text(&long, "too_long")]].concat()
            }
            Self::Slug => {
                let wrong = ["", "ab", "Acme", "a_b", "a b", "a.b", "ümlaut", "acme\n", " acme"];
                let long = "x".repeat(49);
                let reserved = ["api", "admin", "www", "by-slug", "tenure"].map(|w| text(w, "reserved"));
                [&wrong.map(|w| text(w, "invalid_slug"))[..], &reserved, &[text(&long, "invalid_slug")]]
                    .concat()
            }
            Self::UserId => {
                [&blank[..], &controls, &[long(255), text(" ada", "invalid"), text("ada ", "invalid")]]
                    .concat()
            }
            Self::Role => ["King", "", "Admin", "ADMIN", "admin ", "member,admin"]
                .map(|w| text(w, "unknown_role"))
                .to_vec(),
            Self::Flag => Vec::new(),
            Self::Expiry => {
                let past = ["2001-01-01T00:00:00Z", "0000-01-01T00:00:00Z"].map(|w| text(w, "invalid"));
                let none = ["yesterday", "", "2099-13-01T00:00:00Z", "2099-01-01", "2099-01-01T00:00:00"];
                let beyond =
                    ["+262142-01-01T00:00:00Z", "-100000-01-01T00:00:00Z"].map(|w| text(w, "out_of_range"));
                [&past[..], &none.map(|w| text(w, "invalid")), &beyond].concat()
            }
            Self::Lifetime => {
                let outside =
                    [json!(0), json!(299), json!(7_776_001), json!("4m"), json!("299s"), json!("91d")];
                let outside = outside.map(|w| (w, "out_of_range"));
                let none = [
                    json!("soon"),
                    json!(""),
                    json!(-1),
                    json!("-5m"),
                    json!("5"),
                    json!("1.5h"),
                    json!("99999999999999999999d"),
                    json!("5 m"),
                ];
                let none = none.into_iter().filter(|w| *w != json!("5")).map(|w| (w, "invalid_duration"));
                outside.into_iter().chain(none).collect()
            }
            Self::Count => [json!(0)].map(|w| (w, "invalid")).to_vec(),
            Self::Token => vec![text("", "invalid"), (Value::from("x".repeat(256)), "invalid")],
        }
    }

    /// Values of another type.
    fn of_another_type(self) -> Vec<Value> {
        let all = [
            json!(true),
            json!(5),
            json!(1.5),
            json!("text"),
            json!([]),
            json!(["a"]),
            json!({}),
            json!({"a": 1}),
        ];
        let own = |value: &Value| match self {
            Self::Flag => value.is_boolean(),
            Self::Count => value.is_u64(),
            Self::Lifetime => value.is_string() || value.is_u64(),
            _ => value.is_string(),
        };
        all.into_iter().filter(|value| !own(value)).chain(self.out_of_type()).collect()
    }

    fn out_of_type(self) -> Vec<Value> {
        match self {
            Self::Count => vec![json!(-1), json!(4_294_967_296_u64), json!(1e300)],
            _ => Vec::new(),
        }
    }
}

/// A request that would be taken, and its fields.
struct Request {
    user: Option<&'static str>,
    method: Method,
    path: String,
    body: Value,
    required: &'static [&'static str],
    fields: Vec<(&'static str, Kind)>,
}

fn requests(acme: &Acme, invitation: &str, token: &str, code: &str) -> Vec<Request> {
    use Kind as K;
    let request = |user, method: Method, path: &str, body, required, fields: &[(&'static str, Kind)]| {
        Request { user, method, path: path.to_owned(), body, required, fields: fields.to_vec() }
    };
    let (put, post, patch) = (Method::PUT, Method::POST, Method::PATCH);
    let profile = [
        ("/name", K::Line(255)),
        ("/slug", K::Slug),
        ("/description", K::Paragraph(10_000)),
        ("/image_url", K::Link(2048)),
        ("/website", K::Link(255)),
        ("/phone", K::Line(50)),
        ("/social/x", K::Social),
        ("/social/facebook", K::Social),
        ("/social/linkedin", K::Social),
        ("/social/instagram", K::Social),
        ("/social/github", K::Social),
    ];
    let created = [&profile[..], &[("/owner_id", K::UserId)]].concat();
    let changed = [&profile[..], &[("/seats/limit", K::Count)]].concat();
    let user = [("/email", K::Email), ("/email_verified", K::Flag), ("/name", K::Line(255))];
    let membership = [("/role", K::Role), ("/expires_at", K::Expiry)];
    let invite =
        [("/email", K::Email), ("/role", K::Role), ("/expires_in", K::Lifetime), ("/notify", K::Flag)];
    let resend = [("/expires_in", K::Lifetime), ("/notify", K::Flag)];
    let issue = [("/role", K::Role), ("/max_uses", K::Count), ("/expires_at", K::Expiry)];
    let reason = [("/reason", K::Paragraph(1_000))];
    let (tokens, codes) = ([("/token", K::Token)], [("/code", K::Token)]);
    let at = |rest: &str| acme.at(rest);
    let inv = |rest: &str| acme.at(&format!("/invitations/{invitation}/{rest}"));
    let mut all = vec![
        request(None, put.clone(), "/v1/users/zoe", json!({}), &[], &user),
        request(
            None,
            post.clone(),
            "/v1/workspaces",
            json!({"name": "New", "owner_id": "ada"}),
            &["/name", "/owner_id"],
            &created,
        ),
        request(Some("ada"), post.clone(), "/v1/workspaces", json!({"name": "New"}), &["/name"], &profile),
        request(None, patch.clone(), &at(""), json!({}), &[], &changed),
        request(
            Some("ada"),
            post.clone(),
            &at("/transfer-ownership"),
            json!({"to": "bob"}),
            &["/to"],
            &[("/to", K::UserId)],
        ),
        request(None, post.clone(), &at("/suspend"), json!({}), &[], &reason),
        request(None, post.clone(), &at("/resume"), json!({}), &[], &reason),
        request(Some("ada"), post.clone(), &at("/archive"), json!({}), &[], &[]),
        request(Some("ada"), post.clone(), &at("/restore"), json!({}), &[], &[]),
        request(Some("ada"), put.clone(), &at("/members/dave"), json!({}), &[], &membership),
        request(Some("ada"), patch, &at("/members/carol"), json!({"role": "moderator"}), &[], &membership),
        request(Some("ada"), post.clone(), &at("/members/carol/deactivate"), json!({}), &[], &reason),
        request(Some("ada"), post.clone(), &at("/members/carol/reactivate"), json!({}), &[], &[]),
        request(
            Some("ada"),
            post.clone(),
            &at("/invitations"),
            json!({"email": "g@example.com"}),
            &["/email"],
            &invite,
        ),
        request(Some("ada"), post.clone(), &inv("resend"), json!({}), &[], &resend),
        request(Some("ada"), post.clone(), &inv("revoke"), json!({}), &[], &[]),
        request(Some("ada"), put, &at("/invite-code"), json!({}), &[], &issue),
        request(Some("dave"), post.clone(), "/v1/join", json!({"code": code}), &["/code"], &codes),
        request(None, post.clone(), "/v1/users/dave/erase", json!({}), &[], &[]),
    ];
    for what in ["preview", "accept", "decline"] {
        let address = format!("/v1/invitations/{what}");
        all.push(request(
            Some("dave"),
            post.clone(),
            &address,
            json!({"token": token}),
            &["/token"],
            &tokens,
        ));
    }
    all
}

/// `body` with one field set; objects on the way are made.
fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let mut at = &mut body;
    for name in pointer[1..].split('/') {
        at = &mut at[name];
    }
    *at = value;
    body
}

fn without(body: &Value, pointer: &str) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(&pointer[1..]);
    body
}

async fn all_requests() -> (Acme, Vec<Request>, i64) {
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let token = acme.ada().invites(&acme.id, "dave@example.com", "member").await;
    let code = acme.ada().put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK).text("code");
    let requests = requests(&acme, &invitation, &token, &code);
    let head = acme.service.head().await;
    (acme, requests, head)
}

impl Request {
    /// Sends a body that has to be refused with these errors and no others.
    async fn is_refused(&self, service: &TestService, body: &Value, expected: &[(&str, &str)]) {
        let user = self.user.map_or_else(|| service.operator(), |id| service.user(id));
        let answer = user.send(self.method.clone(), &self.path, Some(body), &[]).await;
        let short: String = body.to_string().chars().take(200).collect();
        let asked = format!("{} {} {short}", self.method, self.path);
        assert_eq!(answer.status.as_u16(), 400, "{asked}: {:#}", answer.body);
        answer.is_problem(400);
        let mut found = answer.errors();
        found.sort_unstable();
        assert_eq!(found, expected, "{asked}");
        let unknown = expected.iter().all(|(_, code)| *code == "unknown_field");
        assert_eq!(
            answer.body["code"],
            if unknown { "unknown_field" } else { "validation_failed" },
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_value_that_is_wrong_is_named_with_what_is_wrong_about_it() {
    let (acme, requests, head) = all_requests().await;
    for request in &requests {
        for (field, kind) in &request.fields {
            for (value, code) in kind.wrong() {
                let body = with(&request.body, field, value);
                request.is_refused(&acme.service, &body, &[(field, code)]).await;
            }
        }
    }
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn a_value_of_another_type_is_a_wrong_type() {
    let (acme, requests, head) = all_requests().await;
    for request in &requests {
        for (field, kind) in &request.fields {
            for value in kind.of_another_type() {
                let body = with(&request.body, field, value.clone());
                let code = if kind.out_of_type().contains(&value) && value != json!(1e300) {
                    "invalid"
                } else {
                    "wrong_type"
                };
                request.is_refused(&acme.service, &body, &[(field, code)]).await;
            }
        }
    }
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn a_field_that_is_missing_is_required_and_one_that_is_not_known_is_refused() {
    let (acme, requests, head) = all_requests().await;
    for request in &requests {
        for field in request.required {
            let code = if request.user.is_none() && *field == "/owner_id" { "invalid" } else { "required" };
            request.is_refused(&acme.service, &without(&request.body, field), &[(field, code)]).await;
        }
        for field in ["/nonsense", "/Name", "/id", "/workspace_id", "/user_id", "/actor", "/__proto__"] {
            let body = with(&request.body, field, json!("x"));
            request.is_refused(&acme.service, &body, &[(field, "unknown_field")]).await;
        }
    }
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn everything_wrong_with_a_request_is_said_at_once() {
    let (acme, requests, head) = all_requests().await;
    for request in &requests {
        let (mut body, mut expected) = (json!({"nonsense": 1}), vec![("/nonsense", "unknown_field")]);
        for (at, (field, kind)) in request.fields.iter().enumerate() {
            // An expiry in the past is found by the rules, which a malformed request does not reach.
            let wrong = kind.wrong().into_iter().find(|_| !matches!(kind, Kind::Expiry));
            let (value, code) = match wrong {
                Some(wrong) if at % 2 == 0 => wrong,
                _ => (json!([]), "wrong_type"),
            };
            body = with(&body, field, value);
            expected.push((field, code));
        }
        for field in request.required.iter().filter(|field| request.fields.iter().all(|(f, _)| f != *field)) {
            body = with(&body, field, json!("ada"));
        }
        expected.sort_unstable();
        request.is_refused(&acme.service, &body, &expected).await;
    }
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn what_becomes_of_an_erased_users_workspaces_is_checked_too() {
    let acme = Acme::found().await;
    let head = acme.service.head().await;
    let (id, other) = (acme.id.as_str(), "01890000-0000-7000-8000-000000000000");
    let owned = format!("/owned/{id}");
    let to = format!("{owned}/transfer_to");
    let attempts = [
        (json!({"owned": {id: "burn"}}), owned.clone(), "unknown_value"),
        (json!({"owned": {id: {"transfer_to": ""}}}), to, "required"),
        (json!({"owned": []}), "/owned".to_owned(), "wrong_type"),
        (json!({"owned": {"nonsense": "delete"}}), "/owned/nonsense".to_owned(), "invalid"),
        (json!({"owned": {id: "delete", other: "delete"}}), "/owned".to_owned(), "invalid"),
    ];
    for (body, pointer, code) in attempts {
        let answer = acme.service.operator().post("/v1/users/ada/erase", body.clone()).await;
        let answer = answer.refused(400, "validation_failed");
        assert_eq!(answer.errors(), [(pointer.as_str(), code)], "{body}");
    }
    for fate in
        [json!(5), json!(null), json!({}), json!({"transfer_to": 5}), json!({"transfer_to": "bob", "x": 1})]
    {
        let body = json!({"owned": {id: fate}});
        let answer = acme.service.operator().post("/v1/users/ada/erase", body.clone()).await;
        let answer = answer.refused(400, "validation_failed");
        assert!(answer.errors()[0].0.starts_with(&owned), "{body}: {:#}", answer.body);
    }
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn a_batch_has_bounds_and_its_bad_items_leave_the_good_ones_alone() {
    // Attack 42: neighbours commit.
    let acme = Acme::found().await;
    let (ada, path, head) = (acme.ada(), acme.at("/invitations/batch"), acme.service.head().await);
    let many = |n: usize| (0..n).map(|i| json!({"email": format!("g{i}@example.com")})).collect::<Vec<_>>();
    for body in
        [json!({}), json!({"invitations": []}), json!({"invitations": many(501)}), json!({"invitations": {}})]
    {
        let answer = ada.post(&path, body).await.refused(400, "validation_failed");
        assert_eq!(answer.errors()[0].0, "/invitations");
    }
    assert_eq!(acme.service.head().await, head);
    let items = json!([
        {"email": "good@example.com"}, {"email": "nonsense"}, {}, 5, null, "x", {"email": "a@example.com", "role": "King"},
        {"email": "carol@example.com"}, {"email": "b@example.com", "role": "owner"}, {"email": "fine@example.com", "nonsense": 1},
        {"email": "also-good@example.com", "role": "admin"}
    ]);
    let answer = ada.post(&path, json!({"invitations": items})).await.expect(StatusCode::OK);
    let outcomes: Vec<_> = answer.items().iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(outcomes[..8], [201, 400, 400, 400, 400, 400, 400, 409]);
    assert!(outcomes[8] == 403 || outcomes[8] == 409, "an invitation to own: {}", outcomes[8]);
    assert_eq!(outcomes[9..], [400, 201]);
    assert_eq!(acme.service.head().await, head + 2);
    let answer = ada.post(&path, json!({"invitations": many(500)})).await.expect(StatusCode::OK);
    assert!(answer.items().iter().all(|item| item["status"] == 201));
    acme.stop().await;
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_bad_input_on_every_route() {
    let service = TestService::start().await;
    for (path, methods) in documented_routes() {
        for bad in ["nonsense", "123", "%00", "01890000-0000-7000-8000-00000000000g"] {
            let workspace = path.replace("01890000-0000-7000-8000-000000000000", bad);
            let invitation = path.replace("01890000-0000-7000-8000-000000000001", bad);
            for (wrong, name) in [(workspace, "workspace_id"), (invitation, "invitation_id")] {
                if wrong == path || wrong.contains("by-slug") {
                    continue;
                }
                for method in &methods {
                    let answer = service.operator().send(method.clone(), &wrong, None, &[]).await;
                    let answer = answer.refused(400, "validation_failed");
                    assert_eq!(answer.errors()[0].0, name, "{method} {wrong}");
                }
            }
        }
    }
    assert_eq!(service.head().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_user_id_that_cannot_be_one_is_bad_input() {
    let acme = Acme::found().await;
    let head = acme.service.head().await;
    let long = "a".repeat(256);
    for bad in ["%20ada", "ada%20", "a%0Ab", "a%00b", "%20", "%ff", "a%E2%80%AEb", long.as_str()] {
        for path in [format!("/v1/users/{bad}"), acme.at(&format!("/members/{bad}"))] {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let answer = acme.service.operator().send(method.clone(), &path, None, &[]).await;
                answer.refused(400, "validation_failed");
            }
        }
    }
    assert_eq!(acme.service.head().await, head);
    let fine = format!("/v1/users/{}", "a".repeat(255));
    acme.service.operator().put(&fine, json!({})).await.expect(StatusCode::CREATED);
    for odd in ["auth0%7C5f7c8ec7c33c6c004bbafe82", "a%2Fb", "..%2F..", "Zo%C3%AB", "%F0%9F%A6%80", "a+b%40c"]
    {
        let path = format!("/v1/users/{odd}");
        let made = acme.service.operator().put(&path, json!({})).await.expect(StatusCode::CREATED);
        let read = acme.service.operator().sees(&path).await;
        assert_eq!(read.body["user_id"], made.body["user_id"]);
    }
    acme.stop().await;
}

#[tokio::test]
async fn values_at_their_bounds_are_taken() {
    let acme = Acme::found().await;
    let (operator, ada) = (acme.service.operator(), acme.ada());
    let link = |max: usize| format!("https://x.example/{}", "x".repeat(max - 18));
    let taken = json!({
        "name": "é".repeat(255), "slug": "x".repeat(48), "description": "é\n\t".repeat(3_333), "image_url": link(2048),
        "website": link(255), "phone": "5".repeat(50), "seats": {"limit": 10_000_000},
        "social": {"x": "@acme", "facebook": link(255), "linkedin": "acme-inc.", "instagram": "a_b", "github": "x".repeat(100)}
    });
    let answer = operator.patch(&acme.at(""), taken.clone()).await.expect(StatusCode::OK);
    for field in ["name", "slug", "description", "image_url", "website", "phone", "social"] {
        assert_eq!(answer.body[field], taken[field], "{field}");
    }
    for slug in ["abc", "a-b", "123", "---"] {
        ada.patch(&acme.at(""), json!({"slug": slug})).await.expect(StatusCode::OK);
    }
    let email = format!("{}@{}.example", "a".repeat(64), "x".repeat(60));
    for (n, lifetime) in
        [json!(300), json!(7_776_000), json!("5m"), json!("90d"), json!("P7D"), json!("PT12H"), json!("300")]
            .iter()
            .enumerate()
    {
        let body = json!({"email": format!("{n}{}", &email[1..]), "expires_in": lifetime});
        ada.post(&acme.at("/invitations"), body).await.expect(StatusCode::CREATED);
    }
    let soon = (tenure::clock::now() + chrono::TimeDelta::seconds(30)).to_rfc3339();
    let code = json!({"max_uses": 1_000_000_000, "expires_at": soon, "role": "admin"});
    ada.put(&acme.at("/invite-code"), code).await.expect(StatusCode::OK);
    let until = json!({"expires_at": "9999-12-31T23:59:59.999999Z"});
    let answer = ada.patch(&acme.at("/members/carol"), until.clone()).await.expect(StatusCode::OK);
    assert_eq!(answer.body["expires_at"], until["expires_at"]);
    assert_eq!(ada.sees(&acme.at("/members/carol")).await.body, answer.body);
    acme.stop().await;
}
