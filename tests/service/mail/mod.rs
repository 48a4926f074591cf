//! Mail, to a real mail server (`aiosmtpd`) in a process of its own.

mod arriving;
mod crashing;
mod failing;
mod mailbox;
mod post_office;
mod secrecy;
mod settings;
mod wording;
