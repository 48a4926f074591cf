//! The server mail goes to, as `TENURE_SMTP_URL` names it.

use std::fmt;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::mail::MailSettingError;

/// How a connection is kept from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// From the first byte (`smtps://`).
    Wrapped,
    /// By STARTTLS, or not at all.
    Required,
    /// By STARTTLS where the server offers it.
    Offered,
    /// Never (`?tls=none`).
    Off,
}

/// Where to connect, and as whom.
#[derive(Clone)]
pub(super) struct Server {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    pub credentials: Option<Credentials>,
    /// What this side calls itself.
    pub hello: ClientId,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// `smtp://` or `smtps://`, with user and password in it, the name to say hello with as its path, and `?tls=`.
    pub(super) fn parse(text: &str) -> Result<Self, MailSettingError> {
        let url = Url::parse(text).map_err(|_| wrong("must be smtp://host or smtps://host"))?;
        let host = host(&url).ok_or_else(|| wrong("names no host"))?;
        let credentials = credentials(&url)?;
        let tls = tls(&url, credentials.is_some())?;
        let usual = match tls {
            Tls::Wrapped => 465,
            Tls::Required => 587,
            Tls::Offered | Tls::Off => 25,
        };
        let hello = url.path().trim_matches('/');
        let hello = if hello.is_empty() { ClientId::default() } else { ClientId::Domain(hello.to_owned()) };
        Ok(Self { host, port: url.port().unwrap_or(usual), tls, credentials, hello })
    }
}

fn wrong(what: &'static str) -> MailSettingError {
    MailSettingError::SmtpUrl(what)
}

/// The host of a scheme that `url` does not know is taken as it is written.
fn host(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) => Some(name.to_owned()).filter(|name| !name.is_empty()),
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, MailSettingError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let password = url.password().ok_or_else(|| wrong("names a user without a password"))?;
    let plain = |text: &str| {
        let text = percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| wrong("has a user or password that is no text"));
        text.map(std::borrow::Cow::into_owned)
    };
    Ok(Some(Credentials::new(plain(url.username())?, plain(password)?)))
}

/// A password is not sent where others can read it, unless the operator says so.
fn tls(url: &Url, secret: bool) -> Result<Tls, MailSettingError> {
    let mut wanted = None;
    for (name, value) in url.query_pairs() {
        if name != "tls" || wanted.replace(value.into_owned()).is_some() {
            return Err(wrong("knows no parameter but one `tls`"));
        }
    }
    match (url.scheme(), wanted.as_deref()) {
        ("smtps", None | Some("required")) => Ok(Tls::Wrapped),
        ("smtp", Some("required")) => Ok(Tls::Required),
        ("smtp", None) if secret => Ok(Tls::Required),
        ("smtp", None) => Ok(Tls::Offered),
        ("smtp", Some("opportunistic")) if !secret => Ok(Tls::Offered),
        ("smtp", Some("opportunistic")) => {
            Err(wrong("must not say tls=opportunistic with a password: tls=required"))
        }
        ("smtp", Some("none")) => Ok(Tls::Off),
        ("smtp" | "smtps", _) => {
            Err(wrong("knows tls=required, tls=opportunistic and tls=none (smtp:// only)"))
        }
        _ => Err(wrong("must begin with smtp:// or smtps://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        Server::parse(text).unwrap()
    }

    #[test]
    fn the_port_and_the_safety_follow_from_the_address() {
        let plain = |text: &str| {
            let Server { host, port, tls, credentials, .. } = server(text);
            (host, port, tls, credentials.is_some())
        };
        let mail = || "mail.example".to_owned();
        assert_eq!(plain("smtp://mail.example"), (mail(), 25, Tls::Offered, false));
        assert_eq!(plain("smtp://mail.example:2525?tls=none"), (mail(), 2525, Tls::Off, false));
        assert_eq!(plain("smtp://u:p@mail.example"), (mail(), 587, Tls::Required, true));
        assert_eq!(plain("smtp://mail.example?tls=required"), (mail(), 587, Tls::Required, false));
        assert_eq!(plain("smtps://u:p%40ss@mail.example"), (mail(), 465, Tls::Wrapped, true));
        assert_eq!(plain("smtp://[::1]:25").0, "::1");
        assert_eq!(server("smtp://mail.example/tenure.example").hello.to_string(), "tenure.example");
    }

    #[test]
    fn user_and_password_are_decoded() {
        let credentials = server("smtps://ann%40acme:p%3Ass@mail.example").credentials.unwrap();
        assert!(credentials == Credentials::new("ann@acme".into(), "p:ss".into()));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name_and_without_its_password() {
        for odd in [
            "mail.example:25",
            "http://u:hunter2@mail.example",
            "smtp://",
            "smtp://u@mail.example",
            "smtp://u:hunter2@mail.example?tls=opportunistic",
            "smtp://u:hunter2@mail.example?tls=yes",
            "smtps://u:hunter2@mail.example?tls=none",
            "smtp://u:hunter2@mail.example?tls=required&tls=none",
            "smtp://u:hunter2@mail.example?tsl=required",
            "smtp://u:hunter2@mail.example:999999",
        ] {
            let refused = Server::parse(odd).unwrap_err();
            let shown = format!("{refused} {refused:?}");
            assert!(shown.contains("TENURE_SMTP_URL") && !shown.contains("hunter2"), "{odd}: {shown}");
        }
        assert!(!format!("{:?}", server("smtps://u:hunter2@mail.example")).contains("hunter2"));
    }
}
