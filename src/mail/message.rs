//! A mail as RFC 5322 has it: both parts, and headers that nobody can add to.

use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use tenure_aggregates::Time;

use super::templates::Rendered;
use crate::deliveries::Due;

/// Why a mail cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("bad_address: mail servers know no such address")]
    Address,
    #[error("bad_message")]
    Message,
}

/// The envelope, and the mail as it is sent. Whenever this delivery is tried, its `Message-ID` is the same one, so that
/// a mail that arrives twice can be known again.
pub fn compose(
    from: &Mailbox,
    to: &str,
    due: &Due,
    mail: &Rendered,
    now: Time,
) -> Result<(Envelope, Vec<u8>), Unsendable> {
    let to = address(to).ok_or(Unsendable::Address)?;
    let domain = ascii(from.email.domain()).ok_or(Unsendable::Address)?;
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(mail.subject.clone())
        .date(SystemTime::from(now))
        .message_id(Some(format!("<{}@{domain}>", due.id)))
        // RFC 3834: nobody's holiday is to answer.
        .raw_header(header("Auto-Submitted", "auto-generated".to_owned())?)
        .raw_header(header("Tenure-Event-Id", due.event_id.to_string())?)
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|_| Unsendable::Message)?;
    Ok((message.envelope().clone(), message.formatted()))
}

fn header(name: &'static str, value: String) -> Result<HeaderValue, Unsendable> {
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| Unsendable::Message)?;
    Ok(HeaderValue::new(name, value))
}

/// With its domain spelt so that every server knows it; what is before the at sign is the server's own affair.
fn address(text: &str) -> Option<Address> {
    let (name, domain) = text.rsplit_once('@')?;
    Address::new(name, ascii(domain)?).ok()
}

fn ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_owned());
    }
    match url::Host::parse(domain).ok()? {
        url::Host::Domain(name) => Some(name),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use tenure_aggregates::WorkspaceId;
    use uuid::Uuid;

    use super::*;
    use crate::deliveries::Trigger;

    fn due() -> Due {
        Due {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            id: Uuid::from_u128(2),
            lane: Uuid::from_u128(1),
            kind: "invitation".to_owned(),
            trigger: Trigger::Event,
            event_id: Uuid::from_u128(3),
            position: 1,
            workspace_seq: 1,
            recipient: None,
            invitation: None,
            attempt: 1,
            created_at: chrono::DateTime::UNIX_EPOCH,
            log_end: 1,
        }
    }

    fn composed(to: &str, subject: &str) -> Result<(Envelope, String), Unsendable> {
        let from = "Acme <team@münchen.example>".parse().unwrap();
        let words = |text: &str| text.to_owned();
        let mail = Rendered { subject: words(subject), text: words("hello"), html: words("<p>hello</p>") };
        let (envelope, bytes) = compose(&from, to, &due(), &mail, chrono::DateTime::UNIX_EPOCH)?;
        Ok((envelope, String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn a_mail_says_what_it_is_and_is_the_same_whenever_it_is_tried() {
        let (envelope, mail) = composed("bob@example.com", "Hello").unwrap();
        assert_eq!(envelope.to()[0].to_string(), "bob@example.com");
        for line in [
            "To: bob@example.com\r\n",
            "Subject: Hello\r\n",
            "Message-ID: <00000000-0000-0000-0000-000000000002@xn--mnchen-3ya.example>\r\n",
            "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Tenure-Event-Id: 00000000-0000-0000-0000-000000000003\r\n",
            "Content-Type: multipart/alternative;",
        ] {
            assert!(mail.contains(line), "{line:?} in {mail}");
        }
    }

    #[test]
    fn nothing_in_a_subject_becomes_a_header() {
        let (_, mail) = composed("bob@example.com", "Acme\r\nBcc: eve@example.com\r\n\r\nhi").unwrap();
        let headers = mail.split("\r\n\r\n").next().unwrap();
        assert!(!headers.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{headers}");
    }

    #[test]
    fn a_domain_is_spelt_in_ascii_and_the_rest_is_as_it_is() {
        let (envelope, _) = composed("bob@münchen.example", "x").unwrap();
        assert_eq!(envelope.to()[0].to_string(), "bob@xn--mnchen-3ya.example");
        let (envelope, mail) = composed("jörg@example.com", "x").unwrap();
        assert_eq!(envelope.to()[0].to_string(), "jörg@example.com");
        assert!(mail.contains("To: jörg@example.com"));
        for odd in ["bob", "bob@", "@example.com", "b\r\nob@example.com", "bob@exa mple.com"] {
            assert_eq!(composed(odd, "x").unwrap_err(), Unsendable::Address, "{odd:?}");
        }
    }
}
