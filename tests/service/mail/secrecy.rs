//! Attacks 24 and 27: a token is in a mail and nowhere else, and a name does nothing there.

use reqwest::StatusCode;
use serde_json::json;

use super::post_office::{PostOffice, all_settled, invites};
use crate::support::process::Place;

/// The tables of a schema, and those of the read models, as one text each.
async fn everything_stored(admin: &sqlx::PgPool) -> Vec<(String, String)> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select table_schema, table_name from information_schema.tables
         where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    let mut stored = Vec::new();
    for (schema, table) in tables {
        let query =
            format!("select coalesce(string_agg(to_jsonb(t)::text, E'\\n'), '') from {schema}.{table} t");
        let text: String = sqlx::query_scalar(&query).fetch_one(admin).await.unwrap();
        stored.push((table, text));
    }
    stored
}

#[tokio::test]
async fn no_row_and_no_answer_holds_the_token_of_a_mail() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let acme = olga.creates("Acme").await;
    let base = format!("/v1/workspaces/{acme}");
    let made = invites(&olga, &acme, "bob@example.com").await;
    let id = made["id"].as_str().unwrap().to_owned();
    post.receives(1).await;
    let resent = olga.post(&format!("{base}/invitations/{id}/resend"), json!({})).await.body;
    let mails = post.receives(2).await;
    all_settled(&service).await;
    let secrets: Vec<String> = mails.iter().map(|mail| mail.token()).collect();
    let mut answers = vec![made, resent];
    for path in
        ["invitations", &format!("invitations/{id}"), "audit-log", "events", "audit-log/export?format=csv"]
    {
        answers.push(olga.get(&format!("{base}/{path}")).await.expect(StatusCode::OK).body);
    }
    for secret in &secrets {
        for answer in &answers {
            assert!(!answer.to_string().contains(&secret[4..]), "{answer:#}");
        }
        for (table, text) in everything_stored(&service.admin().await).await {
            assert!(!text.contains(&secret[4..]), "{table}");
        }
    }
    for (table, text) in everything_stored(&service.admin().await).await {
        let delivers = ["deliveries", "delivery_attempts"].contains(&table.as_str());
        assert!(!delivers || !text.contains("bob@"), "{table}: {text}");
    }
    service.stop().await;
}

#[tokio::test]
async fn neither_the_log_nor_the_line_that_tells_of_a_mail_holds_its_token() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TENURE_LOG", "trace,sqlx=info");
    let serving = crate::support::process::Serving::start(command).await;
    let key = place.key();
    let put = |path: &str, body| serving.request(&key, reqwest::Method::PUT, path).json(&body).send();
    put("/v1/users/olga", json!({"name": "olga"})).await.unwrap();
    let post = async |path: String, body| {
        let request = serving.request(&key, reqwest::Method::POST, &path).header("Tenure-Actor", "olga");
        request.json(&body).send().await.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    let acme = post("/v1/workspaces".to_owned(), json!({"name": "Acme"})).await;
    let path = format!("/v1/workspaces/{}/invitations", acme["id"].as_str().unwrap());
    post(path, json!({"email": "bob@example.com"})).await;
    assert!(
        serving.line("mail").contains("TENURE_SMTP_URL") && serving.line("mail").contains("/dev/mailbox")
    );
    let mailbox = format!("{}/dev/mailbox", serving.url);
    let asks = async || {
        loop {
            let request = reqwest::Client::new().get(&mailbox).header("Accept", "application/json");
            let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
            if let Some(link) = answer["items"][0]["link"].as_str() {
                return link.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let link = tokio::time::timeout(std::time::Duration::from_secs(30), asks()).await.unwrap();
    assert!(link.starts_with(&format!("{}/accept#tni_", serving.url)), "{link}");
    let token = link.split_once("tni_").unwrap().1.to_owned();
    let told = format!("mail: invitation for Acme: {mailbox}/1");
    let (printed, log) = (serving.printed(), serving.interrupt().await);
    assert!(printed.lines().any(|line| line == told), "{printed}");
    assert!(!printed.contains(&token) && !log.contains(&token));
}

#[tokio::test]
async fn a_name_reaches_no_mail_as_markup_link_or_header() {
    let Some(post) = PostOffice::plain() else { return };
    let service = post.service().await;
    let olga = service.provision("olga").await;
    let name = r#"<a href="https://evil.example/">Win</a> acme.evil.example"#;
    let body = json!({"email": "olga@example.com", "name": "eve@evil.example\u{200b} <b>Olga</b>"});
    service.operator().put("/v1/users/olga", body).await.expect(StatusCode::OK);
    // A line break is refused at the door; nothing rests on that.
    let broken = olga.post("/v1/workspaces", json!({"name": "Acme\r\nBcc: eve@evil.example"})).await;
    broken.refused(400, "validation_failed");
    let acme = olga.creates(name).await;
    invites(&olga, &acme, "bob@example.com").await;
    let mails = post.receives(1).await;
    let mail = &mails[0];
    for part in [mail.subject(), mail.text(), mail.html()] {
        assert!(!part.contains("evil.example") && !part.contains("https://evil"), "{part}");
    }
    assert!(!mail.html().contains("<a href=\"https://evil") && !mail.html().contains("<b>Olga"));
    assert!(mail.html().contains("&lt;a href="));
    let headers = mail.0["raw_headers"].as_str().unwrap();
    let names =
        headers.lines().filter(|line| !line.starts_with([' ', '\t'])).map(|line| line.split(':').next());
    let known = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "Tenure-Event-Id",
        "MIME-Version",
        "Content-Type",
    ];
    assert!(names.flatten().all(|name| known.contains(&name)), "{headers}");
    service.stop().await;
}
