//! Rate limits per credential and per address, over HTTP: what counts, what is answered, and who is not disturbed.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use tenure::clock;
use uuid::Uuid;

use crate::support::issuer::TestIssuer;
use crate::support::process::{Place, Serving, ends};
use crate::support::{Answer, TestService, User, log};

const NOWHERE: &str = "/v1/workspaces/01890000-0000-7000-8000-000000000000";

/// A service with an issuer, and limits so low that a test reaches them.
struct Limited {
    service: TestService,
    issuer: TestIssuer,
}

impl Limited {
    async fn start(limits: &str) -> Self {
        Self::start_behind(limits, None).await
    }

    async fn start_behind(limits: &str, proxies: Option<&str>) -> Self {
        let issuer = TestIssuer::start().await;
        let service = TestService::start_with(|settings| {
            settings.jwt_issuers = Some(issuer.setting());
            settings.rate_limits = Some(limits.to_owned());
            settings.trusted_proxies = proxies.map(str::to_owned);
        })
        .await;
        Self { service, issuer }
    }

    /// A credential of the user, each time another one: no two signatures are the same.
    fn token(&self, user: &str) -> String {
        self.issuer.token(user, clock::now().timestamp())
    }

    /// From the usual address, with a body that leads nowhere.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.service.url);
        self.service.client.request(method, url).json(&json!({"token": "wrong"}))
    }

    async fn preview(&self, token: &str) -> Answer {
        Answer::of(self.request(Method::POST, "/v1/invitations/preview").bearer_auth(token)).await
    }
}

/// A client at another address of this machine.
fn elsewhere(address: &str) -> reqwest::Client {
    reqwest::Client::builder().local_address(Some(address.parse().unwrap())).build().unwrap()
}

fn numbers(answer: &Answer) -> (u64, u64, u64) {
    let number = |name| answer.header(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap();
    (number("ratelimit-limit"), number("ratelimit-remaining"), number("ratelimit-reset"))
}

/// Fails unless the answer is a whole 429 about that limit.
#[track_caller]
fn is_limited(answer: &Answer, limit: &str, per_minute: u64) {
    answer.is_problem(429);
    assert_eq!((answer.text("code").as_str(), answer.text("limit").as_str()), ("rate_limited", limit));
    assert!(answer.text("detail").contains("Nothing happened"), "{}", answer.body);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(numbers(answer), (per_minute, 0, wait));
    assert_eq!(answer.header("ratelimit-policy"), Some(format!("{per_minute};w=60").as_str()));
}

/// The routes of a class share one limit, which is no other class's.
#[tokio::test]
async fn each_class_has_a_limit_of_its_own_that_its_routes_share() {
    let limited = Limited::start("token=3/100, code=4/100, invitation=5/100").await;
    limited.service.provision("ada").await;
    let token = limited.token("ada");
    let at = |rest: &str| format!("{NOWHERE}{rest}");
    let invitation = at("/invitations/01890000-0000-7000-8000-000000000001");
    let classes = [
        vec![
            (Method::POST, "/v1/invitations/preview".to_owned()),
            (Method::POST, "/v1/invitations/accept".to_owned()),
            (Method::POST, "/v1/invitations/decline".to_owned()),
        ],
        vec![
            (Method::POST, "/v1/join".to_owned()),
            (Method::PUT, at("/invite-code")),
            (Method::DELETE, at("/invite-code")),
            (Method::POST, "/v1/join".to_owned()),
        ],
        vec![
            (Method::POST, at("/invitations")),
            (Method::POST, at("/invitations/batch")),
            (Method::POST, format!("{invitation}/resend")),
            (Method::POST, format!("{invitation}/revoke")),
            (Method::POST, at("/invitations")),
        ],
    ];
    for routes in classes {
        let limit = routes.len() as u64;
        for (used, (method, path)) in routes.iter().enumerate() {
            let answer = Answer::of(limited.request(method.clone(), path).bearer_auth(&token)).await;
            assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.body);
            let (told, remaining, reset) = numbers(&answer);
            assert_eq!((told, remaining), (limit, limit - 1 - used as u64), "{path}");
            assert!((1..=60).contains(&reset), "{reset}");
            assert_eq!(answer.header("ratelimit-policy"), Some(format!("{limit};w=60").as_str()));
            assert_eq!(answer.header("retry-after"), None);
        }
        for (method, path) in routes {
            let answer = Answer::of(limited.request(method, &path).bearer_auth(&token)).await;
            is_limited(&answer, "credential", limit);
        }
    }
    // What is not in the table has no limit, and says nothing of any.
    for _ in 0..10 {
        let get = limited.request(Method::GET, &at("/invitations")).bearer_auth(&token);
        let answer = Answer::of(get).await.refused(404, "not_found");
        assert_eq!(answer.header("ratelimit-limit"), None);
    }
    limited.service.stop().await;
}

/// A guess counts whether it is wrong, malformed, or shows no credential or a bad one.
#[tokio::test]
async fn failed_attempts_count() {
    let limited = Limited::start("token=100/6").await;
    limited.service.provision("ada").await;
    let token = limited.token("ada");
    let accept = || limited.request(Method::POST, "/v1/invitations/accept");
    let attempts = [
        (404, accept().bearer_auth(&token)),
        (401, accept()),
        (401, accept().bearer_auth("not-a-credential")),
        (401, accept().basic_auth("ada", Some("password"))),
        (400, accept().bearer_auth(&token).body("{\"token\": ")),
        (415, accept().bearer_auth(&token).header("content-type", "text/plain")),
    ];
    for (remaining, (status, attempt)) in (0..6).rev().zip(attempts) {
        let answer = Answer::of(attempt).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        assert_eq!((numbers(&answer).0, numbers(&answer).1), (6, remaining), "{status}");
    }
    is_limited(&Answer::of(accept()).await, "address", 6);
    is_limited(&Answer::of(accept().bearer_auth(&token)).await, "address", 6);
    is_limited(&Answer::of(accept().bearer_auth(limited.token("ada"))).await, "address", 6);
    // Whoever guesses credentials is at one address; whoever is at another is not kept out.
    let other = elsewhere("127.0.0.2").post(format!("{}/v1/invitations/accept", limited.service.url));
    Answer::of(other.json(&json!({"token": "wrong"})).bearer_auth(&token))
        .await
        .refused(404, "token_invalid");
    limited.service.stop().await;
}

#[tokio::test]
async fn two_credentials_at_one_address_do_not_disturb_each_other() {
    let limited = Limited::start("token=2/7").await;
    let (ada, bob) = (limited.token("ada"), limited.token("bob"));
    for _ in 0..2 {
        limited.preview(&ada).await.refused(404, "token_invalid");
    }
    is_limited(&limited.preview(&ada).await, "credential", 2);
    // In any spelling of the scheme it is the same credential.
    let spelt = limited.request(Method::POST, "/v1/invitations/preview");
    let spelt = Answer::of(spelt.header("authorization", format!("bearer   {ada} "))).await;
    is_limited(&spelt, "credential", 2);
    for _ in 0..2 {
        limited.preview(&bob).await.refused(404, "token_invalid");
    }
    // What was refused has counted for the address, too: the seventh is its last.
    let seventh = limited.preview(&limited.token("carol")).await.refused(404, "token_invalid");
    assert_eq!((numbers(&seventh).0, numbers(&seventh).1), (7, 0), "the tighter one is told");
    is_limited(&limited.preview(&limited.token("dave")).await, "address", 7);
    limited.service.stop().await;
}

#[tokio::test]
async fn a_browsers_cookie_is_a_credential_like_any_other() {
    let limited = Limited::start("session=2/100, token=2/100").await;
    let with = |cookie: &str| {
        let request = limited.request(Method::POST, "/v1/invitations/preview");
        Answer::of(request.header("cookie", format!("theme=dark; __Host-tenure_session={cookie}")))
    };
    for _ in 0..2 {
        assert_ne!(with("one").await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    is_limited(&with("one").await, "credential", 2);
    assert_ne!(with("another").await.status, StatusCode::TOO_MANY_REQUESTS);
    limited.service.stop().await;
}

/// The operator's service sends everybody's requests from one address: each user whom it acts for counts, except for
/// invitations, and it itself does not.
#[tokio::test]
async fn the_operator_is_limited_only_in_whom_it_acts_for() {
    let limited = Limited::start("token=2/1, code=1/1, invitation=1/1").await;
    let service = &limited.service;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    let guess = async |user: &User<'_>| user.accepts("wrong").await;
    for user in [&ada, &bob] {
        for remaining in [1, 0] {
            let answer = guess(user).await.refused(404, "token_invalid");
            assert_eq!((numbers(&answer).0, numbers(&answer).1), (2, remaining));
        }
        is_limited(&guess(user).await, "credential", 2);
    }
    // What succeeds is not counted: a product's users are its own to limit.
    let carol = service.provision("carol").await;
    for _ in 0..5 {
        let token = ada.invites(&acme, "carol@example.com", "member").await;
        let seen = carol.post("/v1/invitations/preview", json!({"token": token})).await;
        assert_eq!(seen.expect(StatusCode::OK).header("ratelimit-limit"), Some("2"));
    }
    let path = format!("/v1/workspaces/{acme}/invitations");
    for n in 0..5 {
        let body = json!({"email": format!("guest-{n}@example.com"), "notify": false});
        let answer = ada.post(&path, body).await.expect(StatusCode::CREATED);
        assert_eq!(answer.header("ratelimit-limit"), None);
        let answer = service.operator().post("/v1/join", json!({"code": "wrong"})).await;
        assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.header("ratelimit-limit"), None);
    }
    // The name alone exempts nobody.
    let request = || limited.request(Method::POST, "/v1/join").header("Tenure-Actor", "ada");
    Answer::of(request().bearer_auth("x".repeat(40))).await.refused(401, "unauthenticated");
    is_limited(&Answer::of(request().bearer_auth("y".repeat(40))).await, "address", 1);
    limited.service.stop().await;
}

/// What is refused leaves no event, and the same key then does what it was for, with another body as well.
#[tokio::test]
async fn what_is_refused_leaves_nothing_not_even_its_idempotency_key() {
    let limited = Limited::start("invitation=1/100").await;
    let ada = limited.service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    let path = format!("/v1/workspaces/{acme}/invitations");
    let key = Uuid::from_u128(7).to_string();
    let invite = |credential: &str, email: &str| {
        let request = limited.request(Method::POST, &path).json(&json!({"email": email, "notify": false}));
        Answer::of(request.bearer_auth(credential).header("Idempotency-Key", &key))
    };
    let spent = limited.token("ada");
    let invalid = limited.request(Method::POST, &path).json(&json!({})).bearer_auth(&spent);
    Answer::of(invalid).await.refused(400, "validation_failed");
    let before = log::head(&limited.service).await;
    is_limited(&invite(&spent, "bob@example.com").await, "credential", 1);
    assert_eq!(log::head(&limited.service).await, before);
    // Another credential of the same user: the same keys.
    invite(&limited.token("ada"), "carol@example.com").await.expect(StatusCode::CREATED);
    assert_eq!(log::head(&limited.service).await, before + 1);
    let replayed = invite(&limited.token("ada"), "carol@example.com").await.expect(StatusCode::CREATED);
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    invite(&limited.token("ada"), "bob@example.com").await.refused(422, "idempotency_key_reused");
    limited.service.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_counts_and_is_recorded() {
    let limited = Limited::start_behind("token=100/1", Some("127.0.0.1")).await;
    limited.service.provision("ada").await;
    let from = |headers: &[(&str, &str)]| {
        let mut request = limited.request(Method::POST, "/v1/invitations/preview");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request)
    };
    let passes = |answer: Answer| assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    passes(from(&[("X-Forwarded-For", "192.0.2.1")]).await);
    is_limited(&from(&[("X-Forwarded-For", "192.0.2.1")]).await, "address", 1);
    // What a client wrote itself comes before what the proxy adds.
    is_limited(&from(&[("X-Forwarded-For", "192.0.2.77, 192.0.2.1")]).await, "address", 1);
    is_limited(&from(&[("Forwarded", "for=192.0.2.1")]).await, "address", 1);
    passes(from(&[("Forwarded", "for=192.0.2.2")]).await);
    // An IPv6 network counts as one.
    passes(from(&[("X-Forwarded-For", "2001:db8:1:2::1")]).await);
    is_limited(&from(&[("Forwarded", "for=\"[2001:db8:1:2:ffff::9]:4711\"")]).await, "address", 1);
    passes(from(&[("X-Forwarded-For", "2001:db8:1:3::1")]).await);
    // Where the proxy does not say, it is the proxy itself.
    passes(from(&[]).await);
    is_limited(&from(&[("X-Forwarded-For", "unknown")]).await, "address", 1);

    let create = limited.request(Method::POST, "/v1/workspaces").json(&json!({"name": "Acme"}));
    let create = create.bearer_auth(limited.token("ada")).header("X-Forwarded-For", "198.51.100.9");
    let acme = Answer::of(create).await.expect(StatusCode::CREATED).text("id");
    assert_eq!(recorded_ip(&limited.service, &acme).await, "198.51.100.9");
    limited.service.stop().await;
}

#[tokio::test]
async fn who_is_no_trusted_proxy_is_himself_whatever_he_says() {
    let limited = Limited::start_behind("token=100/2", Some("10.0.0.0/8, 127.0.0.9")).await;
    let ada = limited.service.provision("ada").await;
    for (n, address) in ["192.0.2.1", "192.0.2.2", "10.0.0.1", "127.0.0.9"].into_iter().enumerate() {
        let spoofed =
            limited.request(Method::POST, "/v1/invitations/preview").bearer_auth(format!("guess-{n}"));
        let spoofed =
            spoofed.header("X-Forwarded-For", address).header("Forwarded", format!("for={address}"));
        let answer = Answer::of(spoofed).await;
        if n < 2 {
            answer.refused(401, "unauthenticated");
        } else {
            is_limited(&answer, "address", 2);
        }
    }
    let create = ada.request(Method::POST, "/v1/workspaces").json(&json!({"name": "Acme"}));
    let acme = Answer::of(create.header("X-Forwarded-For", "198.51.100.9")).await.text("id");
    assert_eq!(recorded_ip(&limited.service, &acme).await, "127.0.0.1");
    limited.service.stop().await;
}

/// From where the workspace's last command came, as its audit log tells.
async fn recorded_ip(service: &TestService, workspace: &str) -> String {
    let log = service.user("ada").get(&format!("/v1/workspaces/{workspace}/audit-log?limit=1")).await;
    log.items()[0]["origin"]["ip"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn turned_off_nothing_is_counted() {
    let limited = Limited::start("off").await;
    for _ in 0..400 {
        let answer = limited.preview("guess").await.refused(401, "unauthenticated");
        assert_eq!(answer.header("ratelimit-limit"), None);
    }
    limited.service.stop().await;
}

#[tokio::test]
async fn without_a_setting_there_are_limits() {
    let issuer = TestIssuer::start().await;
    let service = TestService::start_with(|settings| settings.jwt_issuers = Some(issuer.setting())).await;
    let join = service.client.post(format!("{}/v1/join", service.url)).json(&json!({"code": "wrong"}));
    let answer = Answer::of(join).await.refused(401, "unauthenticated");
    assert_eq!((numbers(&answer).0, numbers(&answer).1), (600, 599));
    let join = service.client.post(format!("{}/v1/join", service.url)).json(&json!({"code": "wrong"}));
    let answer = Answer::of(join.bearer_auth(issuer.token("ada", clock::now().timestamp()))).await;
    assert_eq!((numbers(&answer).0, numbers(&answer).1), (60, 59));
    service.stop().await;
}

#[tokio::test]
async fn the_settings_are_read_and_what_they_refuse_is_a_metric() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("TENURE_RATE_LIMITS", "token=1/2, code=1/1")
        .env("TENURE_TRUSTED_PROXIES", "127.0.0.0/8, ::1");
    let serving = Serving::start(command).await;
    for (path, limit) in [("/v1/join", 1), ("/v1/invitations/preview", 2)] {
        for _ in 0..=limit {
            let request = serving.request("guess", Method::POST, path).header("X-Forwarded-For", "192.0.2.1");
            Answer::of(request.json(&json!({}))).await;
        }
    }
    let metrics = Answer::of(serving.request("", Method::GET, "/metrics")).await.body;
    for line in [
        "tenure_rate_limited_total{class=\"code\",limit=\"address\"} 1",
        "tenure_rate_limited_total{class=\"token\",limit=\"credential\"} 1",
    ] {
        assert!(metrics.as_str().unwrap().lines().any(|said| said == line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn a_wrong_setting_is_refused_by_name_before_anything_is_served() {
    let place = Place::new();
    for (name, value, part) in [
        ("TENURE_RATE_LIMITS", "tokens=1/2", "tokens"),
        ("TENURE_RATE_LIMITS", "token=0/2", "0/2"),
        ("TENURE_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example", "proxy.example"),
    ] {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env(name, value);
        let said = ends(command).await.badly();
        assert!(said.contains(name) && said.contains(part), "{name}: {said}");
    }
    for (line, name) in
        [("rate_limits = \"code=1\"", "TENURE_RATE_LIMITS"), ("rate_limits = 5", "rate_limits")]
    {
        std::fs::write(place.path().join("tenure.toml"), line).unwrap();
        let said = ends(place.command(&["serve", "--listen", "127.0.0.1:0"])).await.badly();
        assert!(said.contains(name), "{line}: {said}");
    }
}
