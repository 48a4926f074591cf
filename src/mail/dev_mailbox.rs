//! Where mail goes in development: the last of them, in memory, for the page `/dev/mailbox`.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Serialize;
use tenure_aggregates::Time;

/// How many mails are kept.
const KEPT: usize = 200;

/// A mail that was not sent anywhere.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// From 1 on.
    pub id: u64,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The link with the token in it.
    pub link: Option<String>,
    pub sent_at: Time,
}

impl std::fmt::Debug for Kept {
    /// Without what speaks of somebody or is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub struct DevMailbox {
    /// Where this service listens.
    base: String,
    mails: Mutex<Mails>,
    announce: OnceLock<fn(&str)>,
}

#[derive(Debug, Default)]
struct Mails {
    last: u64,
    kept: VecDeque<Kept>,
}

impl DevMailbox {
    pub fn at(base: String) -> Self {
        Self { base, mails: Mutex::default(), announce: OnceLock::new() }
    }

    pub fn url(&self) -> String {
        format!("{}/dev/mailbox", self.base)
    }

    /// From now on each mail is told of in a line, which leads to it and holds nothing secret.
    pub fn announce_with(&self, announce: fn(&str)) {
        let _ = self.announce.set(announce);
    }

    /// Takes a mail in, under a number of its own; `what` says in a few words which it is.
    pub fn take(&self, mail: Kept, what: &str) {
        let id = {
            let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
            mails.last += 1;
            let id = mails.last;
            mails.kept.push_front(Kept { id, ..mail });
            mails.kept.truncate(KEPT);
            id
        };
        if let Some(announce) = self.announce.get() {
            announce(&format!("mail: {what}: {}/{id}", self.url()));
        }
    }

    /// The newest first.
    pub fn all(&self) -> Vec<Kept> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.kept.iter().cloned().collect()
    }

    pub fn find(&self, id: u64) -> Option<Kept> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.kept.iter().find(|mail| mail.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept() {
        let mailbox = DevMailbox::at("http://127.0.0.1:7373".to_owned());
        for number in 0..=KEPT {
            let mail = Kept {
                id: 0,
                to: "bob@example.com".to_owned(),
                subject: number.to_string(),
                text: String::new(),
                html: String::new(),
                link: None,
                sent_at: chrono::DateTime::UNIX_EPOCH,
            };
            mailbox.take(mail, "invitation");
        }
        assert_eq!(mailbox.all().len(), KEPT);
        assert_eq!(mailbox.all()[0].subject, KEPT.to_string());
        assert_eq!((mailbox.find(1), mailbox.find(2).map(|mail| mail.id)), (None, Some(2)));
        assert_eq!(mailbox.url(), "http://127.0.0.1:7373/dev/mailbox");
    }
}
