//! Carries the deliveries of the channel `mail`: writes the letter, and hands it to whoever takes mail here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dev_mailbox::{DevMailbox, Kept};
use super::letter::{Desk, Letter, Unwritten};
use super::message::{Unsendable, compose};
use super::smtp::Smtp;
use super::templates::Rendered;
use super::{Mail, WayOut};
use crate::clock;
use crate::deliveries::outbox::Outbox;
use crate::deliveries::{Carrier, Channel, Due, Outcome, Report, Retry};
use crate::secrets::Keys;
use crate::store::{Store, StoreError};

#[derive(Debug)]
pub struct MailCarrier {
    mail: Arc<Mail>,
    desk: Desk,
    /// The waits before each attempt.
    schedule: Vec<Duration>,
}

impl Carrier for MailCarrier {
    const CHANNEL: Channel = Channel::Mail;
    const AT_ONCE: usize = 16;
    const PER_LANE: usize = 4;

    fn schedule(&self) -> &[Duration] {
        &self.schedule
    }

    async fn carry(&self, due: &Due) -> Outcome {
        if let WayOut::Nowhere = self.mail.way_out {
            return Outcome::NotNow("smtp_not_set");
        }
        let letter = match self.desk.write(due, &self.mail.pages, clock::now()).await {
            Ok(letter) => letter,
            Err(unwritten) => return not_written(due, unwritten),
        };
        let words = match self.mail.templates.render(letter.language.as_deref(), &letter.contents) {
            Ok(words) => words,
            Err(error) => return not_in_words(due, &error),
        };
        match &self.mail.way_out {
            WayOut::Smtp(smtp) => self.send(smtp, due, &letter, &words).await,
            WayOut::DevMailbox(mailbox) => keep(mailbox, &letter, words),
            WayOut::Nowhere => Outcome::NotNow("smtp_not_set"),
        }
    }
}

impl MailCarrier {
    pub fn new(mail: &Arc<Mail>, outbox: &Outbox, store: &Store, keys: &Keys) -> Self {
        let desk = Desk {
            store: store.clone(),
            vault: outbox.vault.clone(),
            projector: outbox.projector.clone(),
            token_key: keys.invitation_token.clone(),
        };
        Self { mail: mail.clone(), desk, schedule: outbox.times.mail_schedule.clone() }
    }

    async fn send(&self, smtp: &Smtp, due: &Due, letter: &Letter, words: &Rendered) -> Outcome {
        let composed = compose(&self.mail.from, &letter.to, due, words, clock::now());
        let (envelope, mail) = match composed {
            Ok(composed) => composed,
            Err(unsendable) => return unsent(unsendable),
        };
        let started = Instant::now();
        match smtp.send(&envelope, &mail).await {
            Ok(code) => Outcome::Delivered(Report {
                status: Some(code),
                latency: started.elapsed(),
                ..Report::default()
            }),
            Err(failure) => {
                let outcome = failure.outcome(&letter.to, started.elapsed());
                if let Outcome::NotNow(_) = outcome {
                    let (host, port) = smtp.host();
                    tracing::error!(
                        host,
                        port,
                        "the mail server refuses the login of TENURE_SMTP_URL: mails wait"
                    );
                }
                outcome
            }
        }
    }
}

fn keep(mailbox: &DevMailbox, letter: &Letter, words: Rendered) -> Outcome {
    let contents = &letter.contents;
    let what = format!("{} for {}", contents.kind().in_words(), contents.workspace.name);
    let mail = Kept {
        id: 0,
        to: letter.to.clone(),
        subject: words.subject,
        text: words.text,
        html: words.html,
        link: contents.link().map(str::to_owned),
        sent_at: clock::now(),
    };
    mailbox.take(mail, &what);
    Outcome::Delivered(Report::default())
}

fn not_written(due: &Due, unwritten: Unwritten) -> Outcome {
    match unwritten {
        Unwritten::Cancelled(reason) => Outcome::Cancelled(reason),
        Unwritten::Waits(reason) => Outcome::NotNow(reason),
        Unwritten::Store(error) => {
            tracing::warn!(delivery = %due.id, %error, "a mail cannot be written yet");
            let unreadable = matches!(error, StoreError::Corrupt(_) | StoreError::Unreadable { .. });
            Outcome::NotNow(if unreadable { "history_unreadable" } else { "database_unavailable" })
        }
    }
}

/// The templates were tried out, so this is data that nobody thought of. What the error quotes is not logged.
fn not_in_words(due: &Due, error: &minijinja::Error) -> Outcome {
    let (template, line) = (error.name().unwrap_or_default(), error.line().unwrap_or_default());
    tracing::error!(delivery = %due.id, template, line, kind = %error.kind(), "a mail cannot be put into words");
    let reason = format!("template: {template}, line {line}");
    Outcome::Failed(Report { reason: Some(reason), ..Report::default() }, Retry::Scheduled)
}

fn unsent(unsendable: Unsendable) -> Outcome {
    Outcome::Failed(Report { reason: Some(unsendable.to_string()), ..Report::default() }, Retry::Never)
}
