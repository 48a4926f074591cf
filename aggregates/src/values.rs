//! Checked texts: what a name, an e-mail, a slug or a link may look like, each by one rule.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Why a text was not taken: a stable code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Invalid {
    pub code: &'static str,
    pub detail: String,
}

impl Invalid {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Longest workspace or person name, in characters.
pub const NAME_MAX: usize = 255;
/// Longest link, in characters.
pub const LINK_MAX: usize = 255;
/// Longest image address, in characters.
pub const IMAGE_URL_MAX: usize = 2048;
/// Longest telephone number, in characters.
pub const PHONE_MAX: usize = 50;
/// Longest name of a plan, in characters.
pub const PLAN_MAX: usize = 50;
/// Longest description, in characters.
pub const DESCRIPTION_MAX: usize = 10_000;
/// Longest reason, in characters.
pub const REASON_MAX: usize = 1_000;

/// Invisible characters that reorder or break a line of text: they serve only to deceive a reader.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn bounded(text: &str, max: usize) -> Result<(), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new("required", "must not be empty"));
    }
    if text.chars().count() > max {
        return Err(Invalid::new("too_long", format!("must be at most {max} characters")));
    }
    Ok(())
}

/// One line of text: not blank, at most `max` characters, no control characters.
pub fn line(text: &str, max: usize) -> Result<(), Invalid> {
    bounded(text, max)?;
    if text.chars().any(deceives) {
        return Err(Invalid::new("control_character", "must not contain control characters"));
    }
    Ok(())
}

/// Several lines of text: as [`line()`], but tabs and line feeds may stand in it.
pub fn paragraph(text: &str, max: usize) -> Result<(), Invalid> {
    bounded(text, max)?;
    if text.chars().any(|c| deceives(c) && !matches!(c, '\n' | '\t')) {
        return Err(Invalid::new("control_character", "must not contain control characters"));
    }
    Ok(())
}

/// An absolute http or https address of at most `max` characters, without credentials in it.
pub fn link(text: &str, max: usize) -> Result<(), Invalid> {
    line(text, max)?;
    let invalid = || Invalid::new("invalid_url", "must be an http or https address");
    let url = url::Url::parse(text).map_err(|_| invalid())?;
    let http = matches!(url.scheme(), "http" | "https");
    // `https:acme.com` is relative to the page it stands on.
    let absolute = text.get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://"));
    if !http || !absolute || url.host_str().is_none_or(str::is_empty) || text.contains(char::is_whitespace) {
        return Err(invalid());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid::new("invalid_url", "must not carry credentials"));
    }
    Ok(())
}

/// A social profile: its address, or the bare handle (`@acme`).
pub fn social(text: &str) -> Result<(), Invalid> {
    let handle = text.strip_prefix('@').unwrap_or(text);
    let is_handle = (1..=100).contains(&handle.len())
        && handle.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_handle { Ok(()) } else { link(text, LINK_MAX) }
}

/// A workspace's short name in addresses, unique among living workspaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slug(String);

/// Words a product needs for itself in the place where slugs stand.
const RESERVED_SLUGS: &[&str] = &[
    "about",
    "access",
    "account",
    "accounts",
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "by-slug",
    "console",
    "dashboard",
    "dev",
    "docs",
    "events",
    "favicon",
    "help",
    "internal",
    "invitations",
    "invite",
    "join",
    "legal",
    "livez",
    "login",
    "logout",
    "mail",
    "me",
    "metrics",
    "new",
    "null",
    "oauth",
    "openapi",
    "operator",
    "personal",
    "pricing",
    "privacy",
    "public",
    "readyz",
    "register",
    "root",
    "security",
    "session",
    "settings",
    "signin",
    "signup",
    "static",
    "status",
    "support",
    "system",
    "team",
    "tenure",
    "terms",
    "undefined",
    "user",
    "users",
    "webhooks",
    "well-known",
    "workspace",
    "workspaces",
    "www",
];

impl Slug {
    /// Takes 3 to 48 of `a-z`, `0-9` and `-` that are not a reserved word.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fits = (3..=48).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            return Err(Invalid::new("invalid_slug", "must be 3 to 48 of a-z, 0-9 and -"));
        }
        if RESERVED_SLUGS.contains(&text) {
            return Err(Invalid::new("reserved", "is a reserved word"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address in the one form it is compared in: trimmed, NFC, lower-cased, its domain in Unicode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    pub const MAX_CHARS: usize = 255;

    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("invalid_email", "must be an e-mail address");
        let folded: String = text.trim().nfc().flat_map(char::to_lowercase).nfc().collect();
        line(&folded, Self::MAX_CHARS)?;
        let (local, domain) = folded.rsplit_once('@').ok_or_else(invalid)?;
        let stray = |c: char| {
            c.is_whitespace()
                || matches!(c, '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '\\' | ',' | '@' | '"')
        };
        let local_fits = (1..=64).contains(&local.chars().count())
            && !local.contains(stray)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let domain = if domain.is_ascii() && !domain.contains("xn--") {
            domain.to_owned()
        } else {
            let (unicode, outcome) = idna::domain_to_unicode(domain);
            outcome.map_err(|_| invalid())?;
            unicode
        };
        // Looked at in its last form: what IDNA makes of `＠` or `．` counts, not the sign itself.
        let domain_fits = domain.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_alphanumeric() || c == '-' || !c.is_ascii() && !c.is_whitespace())
        });
        if !local_fits || !domain_fits {
            return Err(invalid());
        }
        let email = format!("{local}@{domain}");
        line(&email, Self::MAX_CHARS)?;
        Ok(Self(email))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
