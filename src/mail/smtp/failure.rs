//! Why a mail could not be handed over, in words that hold neither the recipient's address nor anything secret.

use std::error::Error as _;
use std::time::Duration;

use lettre::transport::smtp::Error;

use crate::deliveries::{Outcome, Report, Retry};

/// The longest reason, in characters.
const MAX_REASON: usize = 200;
/// Shorter names than this are words of the server's own more often than they are somebody's.
const MIN_NAME: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server said no to this mail: for now, or for good.
    Refused {
        code: u16,
        text: String,
        for_good: bool,
    },
    /// The server does not know this service; no mail gets through until the operator does something.
    Unknown {
        code: Option<u16>,
    },
    /// The server does not encrypt, and the operator wants it to.
    NoTls,
    /// It does, and its certificate or its speech is not to be trusted.
    BadTls,
    /// The server takes no addresses with letters beyond ASCII before the at sign.
    NoUtf8,
    Unreachable,
    /// The connection ended in the middle, or what the server said was no SMTP. It may have taken the mail.
    Broken,
    /// It may have taken the mail.
    Timeout,
}

impl Failure {
    /// While a mail was handed over.
    pub(super) fn of(error: &Error) -> Self {
        match error.status().map(u16::from) {
            // Authentication is wanted, or not good enough.
            Some(code @ (530 | 534 | 535 | 538)) => Self::Unknown { code: Some(code) },
            Some(code) => {
                let text = error.source().map(ToString::to_string).unwrap_or_default();
                Self::Refused { code, text, for_good: error.is_permanent() }
            }
            None if error.is_tls() || speaks_no_tls(error) => Self::BadTls,
            None if error.is_timeout() => Self::Timeout,
            None => Self::Broken,
        }
    }

    /// Before there was a mail: a refusal is none of that mail, so it is tried again.
    pub(super) fn connecting(error: &Error) -> Self {
        match Self::of(error) {
            Self::Broken if error.status().is_none() && !error.is_response() && !error.is_client() => {
                Self::Unreachable
            }
            Self::Refused { code, text, .. } => Self::Refused { code, text, for_good: false },
            other => other,
        }
    }

    /// A 4xx says that it cannot tell now; anything else, that it does not know us.
    pub(super) fn authenticating(error: &Error) -> Self {
        match Self::of(error) {
            Self::Refused { code, for_good: true, .. } => Self::Unknown { code: Some(code) },
            Self::Broken if error.is_client() => Self::Unknown { code: None },
            other => other,
        }
    }

    /// What becomes of the delivery; `address` must not be in the reason.
    pub fn outcome(&self, address: &str, latency: Duration) -> Outcome {
        if let Self::Unknown { .. } = self {
            return Outcome::NotNow("smtp_login_refused");
        }
        let retry = match self {
            Self::Refused { for_good: true, .. } | Self::NoUtf8 => Retry::Never,
            _ => Retry::Scheduled,
        };
        let status = if let Self::Refused { code, .. } = self { Some(*code) } else { None };
        Outcome::Failed(Report { status, reason: Some(self.reason(address)), latency, reply: None }, retry)
    }

    fn reason(&self, address: &str) -> String {
        let said = match self {
            Self::Refused { code, text, .. } => format!("smtp_{code}: {text}"),
            Self::Unknown { .. } => "smtp_login_refused".to_owned(),
            Self::NoTls => "no_tls: the server offers no STARTTLS".to_owned(),
            Self::BadTls => {
                "tls: the server's certificate is not to be trusted, or it speaks no TLS".to_owned()
            }
            Self::NoUtf8 => "smtputf8_unsupported: the server takes no address with such letters".to_owned(),
            Self::Unreachable => "unreachable: the server cannot be reached".to_owned(),
            Self::Broken => "connection_lost: the connection ended before the server had answered".to_owned(),
            Self::Timeout => "timeout".to_owned(),
        };
        scrubbed(&said, address)
    }
}

/// Whether the handshake failed; lettre says only that the connection did.
fn speaks_no_tls(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(known) = cause {
        let broken = known.downcast_ref::<std::io::Error>();
        if broken.is_some_and(|broken| broken.kind() == std::io::ErrorKind::InvalidData) {
            return true;
        }
        cause = known.source();
    }
    false
}

/// A reason without the address, in one line, cut to 200 characters.
pub fn scrubbed(reason: &str, address: &str) -> String {
    let line = reason.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let mut line = without(&line, address);
    if let Some((name, domain)) = address.rsplit_once('@') {
        // Where the domain was spelt in another way on the way out.
        if let Ok(url::Host::Domain(ascii)) = url::Host::parse(domain) {
            line = without(&line, &format!("{name}@{ascii}"));
        }
        if name.chars().count() >= MIN_NAME {
            line = without(&line, name);
        }
    }
    line.chars().take(MAX_REASON).collect::<String>().trim_end().to_owned()
}

/// Without a word, however it is spelt in upper and lower case, where it stands for itself.
fn without(text: &str, word: &str) -> String {
    let (lower, word) = (text.to_lowercase(), word.to_lowercase());
    // Letters whose lower case has another length would shift what follows; then nothing of it is kept.
    if word.is_empty() || !lower.contains(&word) {
        return text.to_owned();
    }
    let whole = if lower.len() == text.len() { text } else { lower.as_str() };
    let (mut out, mut from) = (String::with_capacity(whole.len()), 0);
    let inner = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    for (at, _) in lower.match_indices(&word) {
        let end = at + word.len();
        if inner(lower[..at].chars().next_back()) || inner(lower[end..].chars().next()) {
            continue;
        }
        out.push_str(whole.get(from..at).unwrap_or_default());
        out.push_str("[address]");
        from = end;
    }
    out.push_str(whole.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_no_address_and_is_one_short_line() {
        let said =
            "smtp_550: 5.1.1 <Bob.Smith@Example.com>:\r\n Recipient\taddress rejected: bob.smith unknown";
        assert_eq!(
            scrubbed(said, "bob.smith@example.com"),
            "smtp_550: 5.1.1 <[address]>: Recipient address rejected: [address] unknown"
        );
        assert_eq!(scrubbed("no mailbox of bobby", "bob@example.com"), "no mailbox of bobby");
        assert_eq!(scrubbed("to al: al@x.example", "al@x.example"), "to al: [address]");
        assert_eq!(scrubbed("<ann@xn--mnchen-3ya.example>", "ann@münchen.example"), "<[address]>");
        assert_eq!(scrubbed(&"x".repeat(300), "a@b.c").chars().count(), 200);
        assert_eq!(scrubbed("İİ BOB@EXAMPLE.COM", "bob@example.com").matches("bob").count(), 0);
        assert_eq!(scrubbed("a\u{0}b\u{1b}[1m", "a@b.c"), "a b [1m");
    }

    #[test]
    fn what_the_server_refuses_for_good_is_not_tried_again() {
        let refused = |code, for_good| {
            Failure::Refused { code, text: "no".to_owned(), for_good }.outcome("a@b.c", Duration::ZERO)
        };
        assert!(
            matches!(refused(550, true), Outcome::Failed(report, Retry::Never) if report.status == Some(550))
        );
        assert!(matches!(refused(451, false), Outcome::Failed(_, Retry::Scheduled)));
        assert!(matches!(
            Failure::Timeout.outcome("a@b.c", Duration::ZERO),
            Outcome::Failed(_, Retry::Scheduled)
        ));
        assert!(matches!(Failure::NoUtf8.outcome("a@b.c", Duration::ZERO), Outcome::Failed(_, Retry::Never)));
        let unknown = Failure::Unknown { code: Some(535) }.outcome("a@b.c", Duration::ZERO);
        assert_eq!(unknown, Outcome::NotNow("smtp_login_refused"));
    }
}
