//! What the built-in words say, what a folder may change, and how it is refused.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::mail::letter::{Says, Sender};

fn all() -> Vec<Contents> {
    samples::all()
}

fn invitation(name: &str) -> Contents {
    let mut contents = all().remove(0);
    contents.workspace.name = harmless::line(name);
    contents
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn load(&self) -> Result<Templates, TemplateError> {
        Templates::load(Some(self.0.path()), "en")
    }

    fn path(&self, name: &str) -> String {
        PathBuf::from(self.0.path()).join(name).display().to_string()
    }
}

#[test]
fn every_mail_is_there_in_english_and_says_whose_it_is() {
    let templates = Templates::load(None, "en").unwrap();
    for contents in all() {
        let mail = templates.render(None, &contents).unwrap();
        assert!(!mail.subject.is_empty() && !mail.subject.contains('\n'), "{mail:?}");
        assert!(mail.text.contains("Acme") && mail.html.contains("Acme"), "{mail:?}");
        assert!(mail.html.contains("<html lang=\"en\">"));
        assert!(!mail.text.contains("\n\n\n") && !mail.text.starts_with('\n'), "{:?}", mail.text);
    }
}

#[test]
fn an_invitation_says_who_invites_into_what_as_which_role_until_when_and_where_to_go() {
    let mail = Templates::load(None, "en").unwrap().render(None, &invitation("Acme")).unwrap();
    assert_eq!(mail.subject, "Olga invites you to Acme");
    for part in ["Olga", "Acme", "member", "1 January 1970, 00:00 UTC"] {
        assert!(mail.text.contains(part) && mail.html.contains(part), "{part}");
    }
    assert!(mail.text.contains("\nhttps://acme.example/join?token=tni_sample\n"));
    assert_eq!(mail.html.matches("href=").count(), 2, "a button, and the address in plain");
}

#[test]
fn nothing_but_the_logo_comes_from_elsewhere() {
    let templates = Templates::load(None, "en").unwrap();
    for contents in all() {
        let html = templates.render(None, &contents).unwrap().html;
        let images = usize::from(contents.workspace.logo.is_some());
        assert_eq!(html.matches("src=").count(), images);
        for foreign in ["url(", "<link", "<script", "<style", "@import", "background="] {
            assert!(!html.contains(foreign), "{foreign}");
        }
    }
}

// Attack 27.
#[test]
fn a_name_is_a_name_whatever_stands_in_it() {
    let templates = Templates::load(None, "en").unwrap();
    let name = "<a href=\"https://evil.example\">win</a>\r\nBcc: eve@evil.example";
    let mail = templates.render(None, &invitation(name)).unwrap();
    assert!(
        !mail.html.contains("<a href=\"https://evil") && mail.html.contains("&lt;a href="),
        "{}",
        mail.html
    );
    for part in [&mail.subject, &mail.text, &mail.html] {
        assert!(!part.contains("evil.example") && !part.contains("https://evil"), "{part}");
        assert!(!part.contains('\r') && !part.contains("\nBcc"), "{part}");
    }
}

#[test]
fn a_folder_takes_the_place_of_what_is_built_in_file_by_file() {
    let folder =
        Folder::new(&[("en/invitation.subject.txt", "Join {{ workspace.name }}\n"), ("README.md", "x")]);
    let mail = folder.load().unwrap().render(None, &invitation("Acme")).unwrap();
    assert_eq!(mail.subject, "Join Acme");
    assert!(mail.text.contains("Olga"));
}

#[test]
fn a_language_falls_back_to_the_nearest_there_is() {
    let german = [
        ("de/member_removed.subject.txt", "Du bist kein Mitglied mehr"),
        ("de/member_removed.txt", "{{ workspace.name }}"),
        (
            "de/member_removed.html",
            "{% extends \"layout.html\" %}{% block body %}{% include \"_gruss.html\" %}{% endblock %}",
        ),
        ("de/_gruss.html", "Servus {{ workspace.name }}"),
    ];
    let templates = Folder::new(&german).load().unwrap();
    let removed = Contents { workspace: sample_sender(), says: Says::MemberRemoved {} };
    for wanted in ["de", "de-AT", "DE-at"] {
        let mail = templates.render(Some(wanted), &removed).unwrap();
        assert_eq!(mail.subject, "Du bist kein Mitglied mehr", "{wanted}");
        assert!(mail.html.contains("Servus Acme") && mail.html.contains("lang=\"de\""));
    }
    for wanted in [None, Some("fr"), Some("../de")] {
        assert!(templates.render(wanted, &removed).unwrap().subject.starts_with("You are no longer"));
    }
    assert!(templates.render(Some("de"), &invitation("Acme")).unwrap().subject.starts_with("Olga invites"));
    let german_usually = Templates::load(Some(Folder::new(&german).0.path()), "de-AT").unwrap();
    assert!(german_usually.render(Some("fr"), &removed).unwrap().subject.starts_with("Du bist"));
}

fn sample_sender() -> Sender {
    all().remove(0).workspace
}

#[test]
fn what_is_broken_is_refused_by_file_and_line() {
    for (name, text, line) in [
        ("en/invitation.txt", "one\ntwo {{ workspace.name\n", 2),
        ("en/invitation.txt", "{% if inviter %}\nhello", 2),
        ("en/invitation.html", "one\ntwo\n{{ workspace.nmae }}", 3),
        ("en/layout.html", "one\n{{ nothing }}", 2),
        ("en/member_removed.txt", "one\n{{ inviter }}", 2),
        ("en/workspace_suspended.txt", "\n\n{{ reason.upper.lower }}", 3),
    ] {
        let folder = Folder::new(&[(name, text)]);
        let refused = folder.load().unwrap_err();
        let shown = refused.to_string();
        let begins = format!("{}, line {line}: ", folder.path(name));
        assert!(shown.starts_with(&begins), "{shown}");
    }
}

#[test]
fn a_file_that_nobody_reads_or_a_half_translated_mail_is_refused() {
    let folder = Folder::new(&[("en/invitaton.txt", "x")]);
    assert_eq!(folder.load().unwrap_err(), TemplateError::Stranger { path: folder.path("en/invitaton.txt") });
    let folder = Folder::new(&[("de/invitation.txt", "x")]);
    let missing = folder.path("de/invitation.subject.txt");
    assert_eq!(folder.load().unwrap_err(), TemplateError::Missing { path: missing });
    let nowhere = Templates::load(Some(Path::new("/nowhere/at/all")), "en").unwrap_err();
    assert!(nowhere.to_string().starts_with("/nowhere/at/all: "), "{nowhere}");
}
