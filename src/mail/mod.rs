//! Mail: what is written to people, in whose words, and how it leaves.
//!
//! # Layout
//! - [`carrier`]: carries a delivery of the channel `mail`
//! - [`letter`]: what a mail says, looked up when it is sent, and whether there is still anything to say
//! - [`kind`]: the mails there are; [`templates`]: their words, built in or from a folder; [`language`]: which of them
//! - [`harmless`]: names, so that no mail client makes a link of them; [`pages`]: where links lead
//! - [`message`]: the mail as RFC 5322 has it
//! - [`smtp`]: the server it goes to; [`dev_mailbox`]: where it goes in development
//!
//! *A token must be in a mail and nowhere else*: not in a log line, not in a delivery's row, not in an error.

pub mod carrier;
pub mod dev_mailbox;
pub mod harmless;
pub mod kind;
pub mod language;
pub mod letter;
pub mod message;
pub mod pages;
mod settings;
pub mod smtp;
pub mod templates;

pub use carrier::MailCarrier;
pub use dev_mailbox::DevMailbox;
pub use kind::Kind;
pub use language::fallbacks;
pub use pages::Pages;
pub use settings::MailSettingError;

use lettre::message::Mailbox;

use smtp::Smtp;
use templates::Templates;

/// How this service sends mail, as it was set.
#[derive(Debug)]
pub struct Mail {
    /// Where the links of invitations lead.
    pub pages: Pages,
    /// The language of what goes out where nothing else is said.
    pub language: String,
    templates: Templates,
    from: Mailbox,
    way_out: WayOut,
}

/// Where mail goes.
#[derive(Debug)]
pub enum WayOut {
    Smtp(Box<Smtp>),
    /// No server is set, and this is development.
    DevMailbox(DevMailbox),
    /// No server is set: mails wait for one.
    Nowhere,
}

impl WayOut {
    /// As `/readyz` says it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Smtp(_) => "smtp",
            Self::DevMailbox(_) => "dev_mailbox",
            Self::Nowhere => "smtp_not_set",
        }
    }
}

impl Mail {
    pub fn way_out(&self) -> &WayOut {
        &self.way_out
    }

    /// The mailbox page's content, where there is one.
    pub fn dev_mailbox(&self) -> Option<&DevMailbox> {
        match &self.way_out {
            WayOut::DevMailbox(mailbox) => Some(mailbox),
            WayOut::Smtp(_) | WayOut::Nowhere => None,
        }
    }
}
