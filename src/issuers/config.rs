//! Which issuers count: the value of `TENURE_JWT_ISSUERS`.

use std::net::IpAddr;

use reqwest::Url;
use serde::Deserialize;

/// One issuer whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// Exactly as it stands in `iss`: never normalised.
    pub issuer: String,
    /// Exactly as it must stand in `aud`.
    pub audience: String,
    /// Where the keys are; asked of the issuer's discovery document if absent.
    pub jwks_url: Option<Url>,
}

/// What is wrong with the setting. Positions count from 1.
#[derive(Debug, thiserror::Error)]
pub enum IssuerConfigError {
    #[error("TENURE_JWT_ISSUERS is not the JSON it begins as: {0}")]
    Json(serde_json::Error),
    #[error("TENURE_JWT_ISSUERS, entry {entry}: expected issuer|audience or issuer|audience|jwks_url")]
    Parts { entry: usize },
    #[error("TENURE_JWT_ISSUERS, entry {entry}: {field} is not a URL")]
    NotAUrl { entry: usize, field: &'static str },
    #[error("TENURE_JWT_ISSUERS, entry {entry}: {field} must be https (http only on localhost)")]
    NotHttps { entry: usize, field: &'static str },
    #[error("TENURE_JWT_ISSUERS, entry {entry}: {field} must not hold a user name, a password or a fragment")]
    UrlExtras { entry: usize, field: &'static str },
    #[error("TENURE_JWT_ISSUERS, entry {entry}: issuer must not hold a query")]
    IssuerQuery { entry: usize },
    #[error("TENURE_JWT_ISSUERS, entry {entry}: audience is empty, too long or holds control characters")]
    Audience { entry: usize },
    #[error("TENURE_JWT_ISSUERS, entry {entry}: this issuer is listed already")]
    Duplicate { entry: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issuer: String,
    audience: String,
    jwks_url: Option<String>,
}

/// Reads a JSON array of `{issuer, audience, jwks_url?}`, or `issuer|audience|jwks_url` separated by commas or
/// semicolons. Nothing at all means no issuer.
pub fn parse(setting: &str) -> Result<Vec<IssuerConfig>, IssuerConfigError> {
    let entries = match setting.trim() {
        json if json.starts_with(['[', '{']) => {
            serde_json::from_str(json).map_err(IssuerConfigError::Json)?
        }
        short => short_form(short)?,
    };
    let mut configs: Vec<IssuerConfig> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let config = checked(index + 1, entry)?;
        if configs.iter().any(|other| other.issuer == config.issuer) {
            return Err(IssuerConfigError::Duplicate { entry: index + 1 });
        }
        configs.push(config);
    }
    Ok(configs)
}

fn short_form(setting: &str) -> Result<Vec<Entry>, IssuerConfigError> {
    let entries = setting.split([',', ';']).map(str::trim).filter(|entry| !entry.is_empty());
    entries.enumerate().map(|(index, entry)| short_entry(index + 1, entry)).collect()
}

fn short_entry(entry: usize, text: &str) -> Result<Entry, IssuerConfigError> {
    let parts: Vec<&str> = text.split('|').map(str::trim).collect();
    let (issuer, audience, jwks_url) = match parts[..] {
        [issuer, audience] | [issuer, audience, ""] => (issuer, audience, None),
        [issuer, audience, jwks_url] => (issuer, audience, Some(jwks_url.to_owned())),
        _ => return Err(IssuerConfigError::Parts { entry }),
    };
    Ok(Entry { issuer: issuer.to_owned(), audience: audience.to_owned(), jwks_url })
}

fn checked(entry: usize, raw: Entry) -> Result<IssuerConfig, IssuerConfigError> {
    let issuer = checked_url(entry, "issuer", &raw.issuer)?;
    if issuer.query().is_some() {
        return Err(IssuerConfigError::IssuerQuery { entry });
    }
    let audience_fits =
        !raw.audience.is_empty() && raw.audience.len() <= 255 && !raw.audience.contains(char::is_control);
    if !audience_fits {
        return Err(IssuerConfigError::Audience { entry });
    }
    let jwks_url = raw.jwks_url.map(|url| checked_url(entry, "jwks_url", &url)).transpose()?;
    Ok(IssuerConfig { issuer: raw.issuer, audience: raw.audience, jwks_url })
}

fn checked_url(entry: usize, field: &'static str, text: &str) -> Result<Url, IssuerConfigError> {
    let url = Url::parse(text).map_err(|_| IssuerConfigError::NotAUrl { entry, field })?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(IssuerConfigError::UrlExtras { entry, field });
    }
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
        Ok(url)
    } else {
        Err(IssuerConfigError::NotHttps { entry, field })
    }
}

/// Whether the URL stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(setting: &str) -> String {
        parse(setting).unwrap_err().to_string()
    }

    #[test]
    fn both_forms_say_the_same() {
        let json = r#"[{"issuer":"https://a.example","audience":"tenure","jwks_url":"https://a.example/keys"},
                       {"issuer":"http://127.0.0.1:8080/x","audience":"tenure"}]"#;
        let expected = parse(json).unwrap();
        assert_eq!(expected[0].issuer, "https://a.example", "a slash is never added to the name");
        assert_eq!(expected[0].jwks_url.as_ref().unwrap().as_str(), "https://a.example/keys");
        assert_eq!(expected[1].jwks_url, None);
        for separator in [",", ";", " ;\n "] {
            let short =
                ["https://a.example|tenure|https://a.example/keys", "http://127.0.0.1:8080/x | tenure"]
                    .join(separator);
            assert_eq!(parse(&short).unwrap(), expected);
        }
        assert_eq!(parse(" ").unwrap(), []);
        assert_eq!(parse("[]").unwrap(), []);
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for fine in ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80", "http://127.1"] {
            assert_eq!(parse(&format!("{fine}|t")).unwrap().len(), 1, "{fine}");
        }
        for wrong in [
            "http://a.example",
            "http://localhost.a.example",
            "http://127.0.0.1.a.example",
            "http://10.0.0.1",
            "ftp://localhost",
        ] {
            assert!(refusal(&format!("{wrong}|t")).contains("issuer must be https"), "{wrong}");
        }
        assert!(refusal("https://a.example|t|http://a.example/k").contains("jwks_url must be https"));
    }

    #[test]
    fn a_wrong_setting_is_refused_by_name() {
        assert!(refusal("https://a.example").contains("entry 1: expected issuer|audience"));
        assert!(refusal("https://a.example|t,https://b.example|t|u|v").contains("entry 2: expected"));
        assert!(refusal("a.example|t").contains("issuer is not a URL"));
        assert!(refusal("https://a.example||https://a.example/k").contains("audience is empty"));
        assert!(
            refusal("https://a.example|t,https://a.example|u").contains("entry 2: this issuer is listed")
        );
        assert!(refusal("https://a.example?x=1|t").contains("issuer must not hold a query"));
        assert!(refusal(r#"[{"issuer":"https://a.example","audience":"t","jwks":"x"}]"#).contains("`jwks`"));
        assert!(refusal(r#"{"issuer":"https://a.example"}"#).contains("not the JSON"));
        let password = refusal("https://me:hunter2@a.example|t");
        assert!(password.contains("password") && !password.contains("hunter2"));
    }
}
