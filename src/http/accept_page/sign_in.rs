//! Where whoever is not signed in yet goes, and comes back from: `TENURE_SIGN_IN_URL`.

use url::Url;

/// Stands for the way back.
const RETURN_TO: &str = "{return_to}";

/// The product's page to sign in. Where [`RETURN_TO`] is not in it, the way back is appended as `return_to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignIn(String);

/// It is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "TENURE_SIGN_IN_URL must be an http or https URL without user, with {{return_to}} in its query at most"
)]
pub struct SignInUrlError;

impl SignIn {
    pub(super) fn parse(text: &str) -> Result<Self, SignInUrlError> {
        let url = Url::parse(&text.replace(RETURN_TO, "%2F")).map_err(|_| SignInUrlError)?;
        let is_web = ["http", "https"].contains(&url.scheme()) && url.has_host();
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        // Anywhere else it could lead to another site.
        let before_query = text.split(['?', '#']).next().unwrap_or_default();
        if is_web && is_anonymous && !before_query.contains(RETURN_TO) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SignInUrlError)
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_web_is_one_to_sign_in_at() {
        for fine in [
            "https://app.example/login",
            "http://localhost:3000/login?from=tenure",
            "https://app.example/login?next={return_to}",
            "https://app.example/#/login?next={return_to}",
        ] {
            assert_eq!(SignIn::parse(fine).unwrap().as_str(), fine, "exactly as set");
        }
        for odd in [
            "",
            "app.example/login",
            "/login",
            "javascript:alert(1)//{return_to}",
            "data:text/html,x",
            "ftp://app.example",
            "https://u:p@app.example/login",
            "https://{return_to}/login",
            "{return_to}",
            "https://app.example/{return_to}",
        ] {
            let refused = SignIn::parse(odd).unwrap_err().to_string();
            assert!(refused.starts_with("TENURE_SIGN_IN_URL ") && refused.contains("{return_to}"), "{odd}");
        }
    }
}
