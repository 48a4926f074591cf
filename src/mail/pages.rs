//! Where the link of an invitation leads: a page of the product that the operator listed, or Tenure's own.

use url::Url;

use super::settings::MailSettingError;

/// What stands for the token in a page's address.
const PLACEHOLDER: &str = "{token}";
/// The longest address that is taken, in bytes.
pub const MAX_LENGTH: usize = 2_000;

/// The pages that may be given a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// As they were set, the usual one first.
    listed: Vec<String>,
    /// Where users reach this service, without a slash at the end.
    own: String,
}

impl Pages {
    /// `setting` is `TENURE_ACCEPT_URLS`; `own` is where users reach this service.
    pub fn parse(setting: &str, own: &str) -> Result<Self, MailSettingError> {
        let entries = setting.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let mut listed = Vec::new();
        for (index, entry) in entries.enumerate() {
            if !is_page(entry) {
                return Err(MailSettingError::AcceptUrl { entry: index + 1 });
            }
            listed.push(entry.to_owned());
        }
        Ok(Self { listed, own: own.trim_end_matches('/').to_owned() })
    }

    /// Whether the operator listed this very address.
    pub fn lists(&self, page: &str) -> bool {
        self.listed.iter().any(|listed| listed == page)
    }

    /// The link with its token: to the page that was asked for if it is (still) listed, else to the usual one.
    pub fn link(&self, wanted: Option<&str>, token: &str) -> String {
        let wanted = wanted.filter(|page| self.lists(page));
        match wanted.or(self.listed.first().map(String::as_str)) {
            Some(page) => with_token(page, token),
            // Behind the hash, so that no server on the way writes it down.
            None => format!("{}/accept#{token}", self.own),
        }
    }
}

/// A web address without user and password. The placeholder may stand wherever it does not say whose page it is.
fn is_page(text: &str) -> bool {
    let plain = text.len() <= MAX_LENGTH && !text.contains(|letter: char| letter.is_whitespace());
    let Ok(url) = Url::parse(&text.replace(PLACEHOLDER, "token")) else { return false };
    let bare = url.username().is_empty() && url.password().is_none();
    let whose = text.split('/').take(3).any(|part| part.contains(PLACEHOLDER));
    plain && ["http", "https"].contains(&url.scheme()) && url.host().is_some() && bare && !whose
}

fn with_token(page: &str, token: &str) -> String {
    let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    if page.contains(PLACEHOLDER) {
        return page.replace(PLACEHOLDER, &token);
    }
    let (before, fragment) =
        page.split_once('#').map_or((page, None), |(before, after)| (before, Some(after)));
    let joint = if before.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{before}{joint}token={token}{fragment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(setting: &str) -> Pages {
        Pages::parse(setting, "https://tenure.example/").unwrap()
    }

    #[test]
    fn a_link_leads_to_the_page_that_was_asked_for_if_it_is_listed() {
        let pages = pages("https://app.example/join, https://other.example/a?b=c#d");
        assert_eq!(pages.link(None, "tni_1"), "https://app.example/join?token=tni_1");
        let other = Some("https://other.example/a?b=c#d");
        assert_eq!(pages.link(other, "tni_1"), "https://other.example/a?b=c&token=tni_1#d");
        for foreign in ["https://evil.example/", "https://app.example/join/", "https://app.example/join?"] {
            assert!(!pages.lists(foreign), "{foreign}");
            assert_eq!(pages.link(Some(foreign), "tni_1"), "https://app.example/join?token=tni_1");
        }
    }

    #[test]
    fn the_token_goes_where_the_page_wants_it() {
        let at = |page| pages(page).link(None, "a b");
        assert_eq!(at("https://app.example/join/{token}"), "https://app.example/join/a+b");
        assert_eq!(at("https://app.example/#/join?t={token}"), "https://app.example/#/join?t=a+b");
    }

    #[test]
    fn without_a_page_it_is_tenures_own() {
        assert_eq!(pages("").link(None, "tni_1"), "https://tenure.example/accept#tni_1");
    }

    #[test]
    fn what_is_no_page_is_refused_by_its_place() {
        for odd in [
            "app.example",
            "ftp://app.example/",
            "javascript:alert(1)",
            "https://u:p@app.example/",
            "https://{token}.example/",
            "https://app.example/a b",
        ] {
            let refused = Pages::parse(&format!("https://fine.example/,{odd}"), "").unwrap_err();
            assert_eq!(refused, MailSettingError::AcceptUrl { entry: 2 }, "{odd}");
            assert!(refused.to_string().contains("TENURE_ACCEPT_URLS"));
        }
    }
}
