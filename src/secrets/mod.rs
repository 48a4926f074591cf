//! What must stay secret: the master key, the root key and what is derived from it, and the operator key.
//!
//! # Layout
//! - [`master_key`]: wraps the keys in the database, and is outside of it; [`held_master_keys`]: follows its file
//! - [`root_key`]: the root of every derived key
//! - [`operator_key`]: the key of whoever runs this service, and its rotation under a running server
//! - [`invitation_token`], [`invite_code`], [`api_key`], [`webhook_secret`]: derived, never stored
//! - [`session_key`]: derived per rotation period
//! - [`audit_signing_key`]: signs checkpoints, and never changes
//! - [`cursor`]: opaque signed list cursors
//! - `mac`, `secret_file`, `random`: what the above stand on
//!
//! Nothing here shows a secret in `Debug`, and nothing compares one in variable time.

pub mod api_key;
pub mod audit_signing_key;
pub mod cursor;
pub mod held_master_keys;
pub mod invitation_token;
pub mod invite_code;
mod mac;
pub mod master_key;
pub mod operator_key;
pub mod random;
pub mod root_key;
mod secret_file;
pub mod session_key;
pub mod webhook_secret;

pub use api_key::ApiKeyKey;
pub use audit_signing_key::{AuditSigningKey, AuditSigningKeyError};
pub use cursor::CursorKey;
pub use held_master_keys::HeldMasterKeys;
pub use invitation_token::InvitationTokenKey;
pub use invite_code::InviteCodeKey;
pub use master_key::{MasterKey, MasterKeyError, MasterKeys};
pub use operator_key::{OperatorKey, OperatorKeyError, OperatorKeyFile};
pub use root_key::{IndexKey, Keys, RootKey};
pub use secret_file::SecretFileError;
pub use session_key::SessionKeys;
pub use webhook_secret::WebhookSecretKey;
