//! What the accept page says: English in the binary, other languages beside the mail templates.
//!
//! `<TENURE_MAIL_TEMPLATES>/<language>/accept.toml` holds a language; what it leaves out is said in English.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};

use crate::mail::language::{BUILT_IN, is_tag};

const ENGLISH: &str = include_str!("messages/en.toml");
const FILE: &str = "accept.toml";

/// A file of messages that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("TENURE_MAIL_TEMPLATES: {}: {reason}", file.display())]
pub struct MessagesError {
    file: PathBuf,
    reason: String,
}

/// Everything the page says, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Messages(BTreeMap<String, String>);

#[derive(Debug)]
pub(super) struct Language {
    /// As in `lang` and `Content-Language`: `en`, `pt-BR`.
    pub(super) tag: String,
    pub(super) messages: Messages,
}

#[derive(Debug)]
pub(super) struct Languages {
    all: Vec<Language>,
    /// Which is taken where none fits.
    usual: usize,
}

impl Messages {
    fn read(source: &Figment) -> Result<Self, String> {
        source.extract().map(Self).map_err(|error| error.to_string())
    }

    /// A language's, and English where it is silent.
    fn over_english(file: &Path) -> Result<Self, String> {
        let english = Figment::from(Toml::string(ENGLISH));
        let known = Self::read(&english)?;
        let messages = Self::read(&english.merge(Toml::file_exact(file)))?;
        if let Some(unknown) = messages.0.keys().find(|name| !known.0.contains_key(*name)) {
            return Err(format!("the page says nothing by the name of {unknown:?}"));
        }
        match messages.say("direction") {
            "ltr" | "rtl" => Ok(messages),
            other => Err(format!("direction must be \"ltr\" or \"rtl\", not {other:?}")),
        }
    }

    /// A message; nothing for a name that none has.
    pub(super) fn say(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// All of them, for the script.
    pub(super) fn as_json(&self) -> String {
        serde_json::json!(self.0).to_string()
    }
}

impl Languages {
    /// English, and what the folder has.
    pub(super) fn load(folder: Option<&Path>, usual: &str) -> Result<Self, MessagesError> {
        let built_in = |reason| MessagesError { file: BUILT_IN.into(), reason };
        let english = Messages::read(&Figment::from(Toml::string(ENGLISH))).map_err(built_in)?;
        let mut all = vec![Language { tag: BUILT_IN.to_owned(), messages: english }];
        for (tag, file) in folder.map(files).transpose()?.unwrap_or_default() {
            let messages = Messages::over_english(&file).map_err(|reason| MessagesError { file, reason })?;
            all.retain(|language| language.tag != tag);
            all.push(Language { tag, messages });
        }
        let mut languages = Self { all, usual: 0 };
        let at = |tag: &str| languages.all.iter().position(|language| language.tag == tag);
        let usual =
            languages.find(usual).or_else(|| languages.find(BUILT_IN)).and_then(|usual| at(&usual.tag));
        languages.usual = usual.unwrap_or_default();
        Ok(languages)
    }

    /// The one that fits an `Accept-Language` best.
    pub(super) fn best(&self, accepted: &str) -> &Language {
        let mut wanted: Vec<(&str, f32)> = accepted.split(',').filter_map(weighed).collect();
        // A stable sort: what is named first is wanted first.
        wanted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        wanted.iter().find_map(|(range, _)| self.find(range)).unwrap_or(&self.all[self.usual])
    }

    /// A language by its tag, or by as much of the tag as there is (RFC 4647, lookup).
    fn find(&self, range: &str) -> Option<&Language> {
        if range == "*" {
            return self.all.get(self.usual);
        }
        let mut range = range;
        loop {
            if let Some(found) = self.all.iter().find(|language| language.tag.eq_ignore_ascii_case(range)) {
                return Some(found);
            }
            range = range.rsplit_once('-')?.0;
        }
    }
}

/// One part of an `Accept-Language`, unless it is not wanted at all.
fn weighed(part: &str) -> Option<(&str, f32)> {
    let (range, weight) = part.split_once(';').unwrap_or((part, ""));
    let weight = match weight.trim().strip_prefix("q=") {
        Some(weight) => weight.trim().parse().ok().filter(|weight: &f32| weight.is_finite())?,
        None => 1.0,
    };
    (weight > 0.0).then_some((range.trim(), weight))
}

/// The files of messages in a folder's folders, by language.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, MessagesError> {
    let unread = |error: std::io::Error| MessagesError { file: folder.into(), reason: error.to_string() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let file = entry.path().join(FILE);
        let tag = entry.file_name().into_string().ok().filter(|tag| is_tag(tag));
        if let Some(tag) = tag.filter(|_| file.is_file()) {
            found.push((tag, file));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (language, text) in files {
            std::fs::create_dir(folder.path().join(language)).unwrap();
            std::fs::write(folder.path().join(language).join(FILE), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_language_is_the_one_the_browser_asks_for_first() {
        let folder = folder(&[("de", "accept = 'Annehmen'"), ("pt-BR", ""), ("ar", "direction = 'rtl'")]);
        let languages = Languages::load(Some(folder.path()), "en").unwrap();
        for (accepted, tag) in [
            ("", "en"),
            ("de", "de"),
            ("DE-at, en;q=0.9", "de"),
            ("en;q=0.8, de;q=0.9", "de"),
            ("de;q=0, en", "en"),
            ("fr, de;q=0.1", "de"),
            ("fr", "en"),
            ("pt", "en"),
            ("pt-br", "pt-BR"),
            ("pt-BR-x", "pt-BR"),
            ("*", "en"),
            ("de;q=NaN, ;;, ar;q=0.5", "ar"),
        ] {
            assert_eq!(languages.best(accepted).tag, tag, "{accepted}");
        }
        let usual = Languages::load(Some(folder.path()), "de").unwrap();
        assert_eq!((usual.best("fr").tag.as_str(), usual.best("en").tag.as_str()), ("de", "en"));
        let near = Languages::load(Some(folder.path()), "de-AT").unwrap();
        assert_eq!((near.best("fr").tag.as_str(), near.best("*").tag.as_str()), ("de", "de"));
        assert_eq!(Languages::load(None, "de").unwrap().best("de").tag, "en", "there is no other");
    }

    #[test]
    fn what_a_language_leaves_out_is_said_in_english() {
        let folder = folder(&[("de", "accept = 'Annehmen'")]);
        let languages = Languages::load(Some(folder.path()), "en").unwrap();
        let messages = &languages.best("de").messages;
        assert_eq!((messages.say("accept"), messages.say("decline")), ("Annehmen", "Decline"));
    }

    #[test]
    fn a_file_that_says_what_the_page_does_not_is_refused_by_name() {
        for (text, named) in [
            ("acept = 'x'", "acept"),
            ("accept = 1", "accept"),
            ("direction = 'up'", "direction"),
            ("accept = ", FILE),
        ] {
            let folder = folder(&[("de", text)]);
            let refused = Languages::load(Some(folder.path()), "en").unwrap_err().to_string();
            assert!(refused.starts_with("TENURE_MAIL_TEMPLATES: "), "{refused}");
            assert!(refused.contains(named) && refused.contains("accept.toml"), "{refused}");
        }
        let refused = Languages::load(Some(Path::new("/nowhere/at/all")), "en").unwrap_err().to_string();
        assert!(
            refused.contains("TENURE_MAIL_TEMPLATES") && refused.contains("/nowhere/at/all"),
            "{refused}"
        );
    }
}
