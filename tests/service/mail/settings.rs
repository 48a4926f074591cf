//! What is wrong with the settings of mail is said at the start, by the setting's name, and no password with it.

use std::fs;

use crate::support::process::Place;

#[tokio::test]
async fn a_start_with_settings_that_cannot_be_is_refused_by_name() {
    let place = Place::new();
    let folder = place.path().join("words/en");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("invitation.txt"), "one\n{{ workspace.nmae }}\n").unwrap();
    let words = place.path().join("words").display().to_string();
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("TENURE_SMTP_URL", "smtp://u:hunter2@mail.example:0x")], "TENURE_SMTP_URL"),
        (&[("TENURE_SMTP_URL", "smtps://u:hunter2@mail.example")], "TENURE_MAIL_FROM"),
        (&[("TENURE_MAIL_FROM", "nobody")], "TENURE_MAIL_FROM"),
        (&[("TENURE_MAIL_LANGUAGE", "de_AT")], "TENURE_MAIL_LANGUAGE"),
        (
            &[("TENURE_ACCEPT_URLS", "https://a.example/,https://u:hunter2@b.example/")],
            "TENURE_ACCEPT_URLS, entry 2",
        ),
        (&[("TENURE_MAIL_TEMPLATES", &words)], "words/en/invitation.txt, line 2: "),
    ];
    for (settings, named) in cases {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("TENURE_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
        command.envs(settings.iter().copied());
        let said = crate::support::process::ends(command).await;
        assert!(!said.status.success() && said.err.contains(named), "{named}: {}", said.err);
        assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "{}", said.err);
    }
}
