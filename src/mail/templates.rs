//! The words of mails: minijinja templates, built in for English, overridden and translated from a folder.
//!
//! The folder holds `<language>/<kind>.subject.txt`, `.txt` and `.html`, and `<language>/layout.html` around the latter.
//! All of them are tried out at the start with sample data, so that what is broken is found before it is needed.

mod samples;

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use strum::IntoEnumIterator;

use super::harmless;
use super::kind::Kind;
use super::language::{BUILT_IN, fallbacks, is_tag};
use super::letter::Contents;

/// A template of a kind is its name and one of these.
const PARTS: [&str; 3] = ["subject.txt", "txt", "html"];

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("templates/en/", $name)))),*]
    };
}

const ENGLISH: &[(&str, &str)] = built_in![
    "layout.html",
    "invitation.subject.txt",
    "invitation.txt",
    "invitation.html",
    "invitation_revoked.subject.txt",
    "invitation_revoked.txt",
    "invitation_revoked.html",
    "ownership_transferred.subject.txt",
    "ownership_transferred.txt",
    "ownership_transferred.html",
    "member_removed.subject.txt",
    "member_removed.txt",
    "member_removed.html",
    "workspace_suspended.subject.txt",
    "workspace_suspended.txt",
    "workspace_suspended.html",
    "webhook_disabled.subject.txt",
    "webhook_disabled.txt",
    "webhook_disabled.html",
];

/// A template that cannot be used, by its file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("{path}: {cause}")]
    Unreadable { path: String, cause: String },
    #[error("{path} is no template of a mail: there are layout.html and <kind>.subject.txt, .txt and .html")]
    Stranger { path: String },
    #[error("{path} is missing: a language brings all three parts of a mail")]
    Missing { path: String },
    #[error("{path}, line {line}: {cause}")]
    Broken { path: String, line: usize, cause: String },
}

/// A mail in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// In one line.
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Debug)]
pub struct Templates {
    /// Every template of every language, as `<language>/<name>`.
    environment: Environment<'static>,
    languages: Vec<String>,
    usual: String,
}

/// By language and name: the text, and the file it is from.
type Sources = BTreeMap<(String, String), (String, String)>;

impl Templates {
    /// The built-in ones, and those of a folder in front of them; tried out with sample data.
    pub fn load(folder: Option<&Path>, usual: &str) -> Result<Self, TemplateError> {
        let mut sources = Sources::new();
        for (name, text) in ENGLISH {
            let from = format!("built-in {BUILT_IN}/{name}");
            sources.insert((BUILT_IN.to_owned(), (*name).to_owned()), ((*text).to_owned(), from));
        }
        if let Some(folder) = folder {
            read_folder(folder, &mut sources)?;
        }
        let mut languages: Vec<String> = sources.keys().map(|(language, _)| language.clone()).collect();
        languages.dedup();
        let mut environment = environment();
        let mut files = BTreeMap::new();
        for language in &languages {
            for (name, _) in ENGLISH.iter().copied().chain(partials(&sources)) {
                let nearest = fallbacks(Some(language), usual);
                let found = nearest.into_iter().find_map(|near| sources.get(&(near, name.to_owned())));
                let Some((text, file)) = found else { continue };
                let full = format!("{language}/{name}");
                files.insert(full.clone(), file.clone());
                let added = environment.add_template_owned(full, text.clone());
                added.map_err(|error| broken(&error, &files))?;
            }
        }
        let templates = Self { environment, languages, usual: usual.to_owned() };
        templates.try_out(&files)?;
        Ok(templates)
    }

    /// A mail in the language nearest to the one that is wanted.
    pub fn render(&self, wanted: Option<&str>, contents: &Contents) -> Result<Rendered, minijinja::Error> {
        let language = fallbacks(wanted, &self.usual).into_iter().find(|tag| self.languages.contains(tag));
        let language = language.unwrap_or_else(|| BUILT_IN.to_owned());
        self.render_in(&language, contents)
    }

    fn render_in(&self, language: &str, contents: &Contents) -> Result<Rendered, minijinja::Error> {
        #[derive(Serialize)]
        struct Said<'a> {
            language: &'a str,
            #[serde(flatten)]
            contents: &'a Contents,
        }
        let kind = contents.kind();
        let part = |part: &str| {
            let template = self.environment.get_template(&format!("{language}/{kind}.{part}"))?;
            template.render(Value::from(Serde(Said { language, contents })))
        };
        Ok(Rendered {
            subject: harmless::one_line(&part("subject.txt")?),
            text: part("txt")?,
            html: part("html")?,
        })
    }

    fn try_out(&self, files: &BTreeMap<String, String>) -> Result<(), TemplateError> {
        for language in &self.languages {
            for contents in samples::all() {
                self.render_in(language, &contents).map_err(|error| broken(&error, files))?;
            }
        }
        Ok(())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|name| {
        let html = Path::new(name).extension().is_some_and(|extension| extension == "html");
        if html { AutoEscape::Html } else { AutoEscape::None }
    });
    // What a template extends or includes is of its own language.
    environment.set_path_join_callback(|name, parent| match parent.split_once('/') {
        Some((language, _)) if !name.contains('/') => format!("{language}/{name}").into(),
        _ => name.into(),
    });
    environment
}

/// What a folder's templates include: their names begin with `_`.
fn partials(sources: &Sources) -> impl Iterator<Item = (&str, &str)> {
    sources
        .iter()
        .filter(|((_, name), _)| name.starts_with('_'))
        .map(|((_, name), (text, _))| (name.as_str(), text.as_str()))
}

fn read_folder(folder: &Path, sources: &mut Sources) -> Result<(), TemplateError> {
    for language in entries(folder)? {
        let Some(tag) = name_of(&language).filter(|name| language.is_dir() && is_tag(name)) else { continue };
        let tag = tag.to_ascii_lowercase();
        for path in entries(&language)? {
            let Some(name) = name_of(&path).filter(|name| is_template(name)) else {
                continue;
            };
            let file = path.display().to_string();
            if !name.starts_with('_') && !ENGLISH.iter().any(|(known, _)| *known == name) {
                return Err(TemplateError::Stranger { path: file });
            }
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            sources.insert((tag.clone(), name.to_owned()), (text, file));
        }
        if tag != BUILT_IN {
            complete(&tag, &language, sources)?;
        }
    }
    Ok(())
}

/// A mail that is half translated would begin in one language and end in another.
fn complete(tag: &str, folder: &Path, sources: &Sources) -> Result<(), TemplateError> {
    for kind in Kind::iter() {
        let names = PARTS.map(|part| format!("{kind}.{part}"));
        let there = |name: &String| sources.contains_key(&(tag.to_owned(), name.clone()));
        if names.iter().any(there)
            && let Some(missing) = names.iter().find(|name| !there(name))
        {
            return Err(TemplateError::Missing { path: folder.join(missing).display().to_string() });
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, TemplateError> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths.collect::<Result<_, _>>().map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
}

fn is_template(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "txt" | "html")))
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn unreadable(path: &Path, error: &std::io::Error) -> TemplateError {
    TemplateError::Unreadable { path: path.display().to_string(), cause: error.to_string() }
}

/// Where it broke: the innermost template that the error names.
fn broken(error: &minijinja::Error, files: &BTreeMap<String, String>) -> TemplateError {
    let mut innermost = error;
    while let Some(cause) = std::error::Error::source(innermost).and_then(|cause| cause.downcast_ref()) {
        innermost = cause;
    }
    let named = if innermost.name().is_some() { innermost } else { error };
    let name = named.name().unwrap_or_default();
    TemplateError::Broken {
        path: files.get(name).cloned().unwrap_or_else(|| name.to_owned()),
        line: named.line().unwrap_or_default(),
        cause: innermost.detail().map_or_else(|| innermost.kind().to_string(), str::to_owned),
    }
}

#[cfg(test)]
#[path = "templates/tests.rs"]
mod tests;
