//! The settings of mail, checked at the start: what is wrong is said by the setting's name, and no password is shown.

use lettre::message::Mailbox;

use super::dev_mailbox::DevMailbox;
use super::language::is_tag;
use super::pages::Pages;
use super::smtp::Smtp;
use super::templates::{TemplateError, Templates};
use super::{Mail, WayOut};
use crate::config::Settings;

/// A setting that cannot be. Entries count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailSettingError {
    #[error("TENURE_SMTP_URL {0}")]
    SmtpUrl(&'static str),
    #[error(
        "TENURE_MAIL_FROM must be set where TENURE_SMTP_URL is: whom mail is from, as Acme <team@example.com>"
    )]
    MailFromMissing,
    #[error("TENURE_MAIL_FROM must be an address, as team@example.com or Acme <team@example.com>")]
    MailFrom,
    #[error("TENURE_MAIL_LANGUAGE must be a language tag, as en or de-AT")]
    Language,
    #[error("TENURE_ACCEPT_URLS, entry {entry}: must be an http or https URL without user and password")]
    AcceptUrl { entry: usize },
    #[error("TENURE_MAIL_TEMPLATES: {0}")]
    Templates(#[from] TemplateError),
}

impl Mail {
    pub fn open(settings: &Settings) -> Result<Self, MailSettingError> {
        let own = settings.public_url.clone().unwrap_or_else(|| format!("http://{}", settings.listen));
        let language = settings.mail_language.clone();
        if !is_tag(&language) {
            return Err(MailSettingError::Language);
        }
        let way_out = match &settings.smtp_url {
            Some(url) => WayOut::Smtp(Box::new(Smtp::parse(url, settings.delivery_times.patience)?)),
            None if is_development(settings) => {
                WayOut::DevMailbox(DevMailbox::at(format!("http://{}", settings.listen)))
            }
            None => WayOut::Nowhere,
        };
        let from = match &settings.mail_from {
            Some(from) => from.parse().map_err(|_| MailSettingError::MailFrom)?,
            None if settings.smtp_url.is_some() => return Err(MailSettingError::MailFromMissing),
            None => nobody()?,
        };
        Ok(Self {
            pages: Pages::parse(settings.accept_urls.as_deref().unwrap_or_default(), &own)?,
            templates: Templates::load(settings.mail_templates.as_deref(), &language)?,
            language,
            from,
            way_out,
        })
    }
}

/// Whom mail is from that never leaves.
fn nobody() -> Result<Mailbox, MailSettingError> {
    "Tenure <tenure@localhost>".parse().map_err(|_| MailSettingError::MailFrom)
}

/// Whether nobody but the developer reaches this service. Behind a proxy every request comes from this very machine, so
/// whoever names a public address or a proxy is not developing.
fn is_development(settings: &Settings) -> bool {
    let proxied = settings.trusted_proxies.as_deref().is_some_and(|proxies| !proxies.trim().is_empty());
    settings.listen.ip().is_loopback() && !proxied && settings.public_url.as_deref().is_none_or(is_here)
}

fn is_here(url: &str) -> bool {
    match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Flags;

    fn open(change: impl FnOnce(&mut Settings)) -> Result<Mail, MailSettingError> {
        let mut settings = Settings::read(&Flags::default(), Some(Path::new("/dev/null"))).unwrap();
        change(&mut settings);
        Mail::open(&settings)
    }

    #[allow(clippy::unnecessary_wraps, reason = "as settings are written")]
    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn without_a_server_mail_goes_to_the_developer_only_where_nobody_else_can_be() {
        let in_mailbox = |change: fn(&mut Settings)| open(change).unwrap().dev_mailbox().is_some();
        assert!(in_mailbox(|_| {}));
        assert!(in_mailbox(|settings| settings.public_url = some("http://localhost:7373")));
        assert!(!in_mailbox(|settings| settings.public_url = some("https://tenure.example")));
        assert!(!in_mailbox(|settings| settings.listen = ([0, 0, 0, 0], 7373).into()));
        assert!(!in_mailbox(|settings| settings.trusted_proxies = some("127.0.0.1")));
    }

    #[test]
    fn who_sends_must_be_said_where_a_server_is_set() {
        let refused = |change: fn(&mut Settings)| open(change).unwrap_err().to_string();
        assert!(
            refused(|settings| settings.smtp_url = some("smtp://mail.example")).contains("TENURE_MAIL_FROM")
        );
        for odd in ["nobody", "a@b@c", "x <y", "a@b.example\r\nBcc: c@d.example"] {
            let refused = open(|settings| settings.mail_from = some(odd)).unwrap_err();
            assert_eq!(refused, MailSettingError::MailFrom, "{odd}");
        }
        assert!(
            refused(|settings| settings.mail_language = "x_y".to_owned()).contains("TENURE_MAIL_LANGUAGE")
        );
    }
}
