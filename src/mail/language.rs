//! Which language something is written in: the one asked for, or the nearest there is.

/// The language that is always there.
pub const BUILT_IN: &str = "en";
/// The longest tag that is taken, in bytes.
pub const MAX_LENGTH: usize = 35;

/// Whether this has the form of a BCP 47 tag: `de`, `de-AT`, `zh-Hant-TW`.
pub fn is_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let primary = parts.next().is_some_and(|part| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    let sub =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= MAX_LENGTH && primary && parts.all(sub)
}

/// The languages to try, the best first, in lower case: `de-AT` is `de-at`, then `de`, then `usual` the same way, then
/// the one built in.
pub fn fallbacks(wanted: Option<&str>, usual: &str) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for tag in wanted.into_iter().chain([usual, BUILT_IN]).filter(|tag| is_tag(tag)) {
        let mut tag = tag.to_ascii_lowercase();
        loop {
            if !chain.contains(&tag) {
                chain.push(tag.clone());
            }
            let Some(cut) = tag.rfind('-') else { break };
            tag.truncate(cut);
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_falls_back_to_its_parent_then_to_the_usual_one_then_to_english() {
        assert_eq!(fallbacks(Some("de-AT"), "fr-CA"), ["de-at", "de", "fr-ca", "fr", "en"]);
        assert_eq!(fallbacks(None, "en"), ["en"]);
        assert_eq!(fallbacks(Some("EN-gb"), "en"), ["en-gb", "en"]);
        assert_eq!(fallbacks(Some("../etc"), "en"), ["en"]);
    }

    #[test]
    fn tags_are_told_from_what_is_none() {
        for tag in ["en", "de-AT", "zh-Hant-TW", "de-1996", "sl-rozaj-biske-1994"] {
            assert!(is_tag(tag), "{tag}");
        }
        let long = "de-".to_owned() + &["abcdefgh"; 4].join("-");
        for odd in
            ["", "d", "-", "de-", "de_AT", "de--AT", "d3", "deutschland", "de/..", "de\r\n", long.as_str()]
        {
            assert!(!is_tag(odd), "{odd:?}");
        }
    }
}
