//! Checkpoints: what a workspace's history has come to, signed, in C2SP's `tlog-checkpoint` and `signed-note` formats.
//!
//! # Layout
//! - here: signing them, under a name and with a key that stay what they were at first
//! - [`verifier_key`]: what auditors pin, and opening a checkpoint with it
//!
//! Every workspace is a log of its own, `<name>/workspaces/<id>`: that is the origin its checkpoints begin with and,
//! as the format asks, the name they are signed under. One key signs them all.

pub mod verifier_key;

use std::path::{Path, PathBuf};

use signed_note::{Note, Signature, key_id};
use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;
use tenure_projections::proofs::Hash;
use tlog_tiles::Checkpoint;

use crate::secrets::{AuditSigningKey, AuditSigningKeyError};
pub use verifier_key::VerifierKey;

/// Why checkpoints cannot be signed here.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointsError {
    #[error(transparent)]
    Key(#[from] AuditSigningKeyError),
    #[error("the name of the audit signing key: {0}")]
    Database(#[from] sqlx::Error),
    #[error(
        "{path} is not the audit signing key of this database, or is not there: its checkpoints are signed by {known}. \
         Put that key back, or say where it is (TENURE_AUDIT_SIGNING_KEY_FILE); another key would begin a second \
         history that no auditor can hold against the first"
    )]
    AnotherKey { path: PathBuf, known: String },
}

/// Signs checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    key: AuditSigningKey,
    verifier: VerifierKey,
}

impl Checkpoints {
    /// With the key of that file, which is made only if this database's checkpoints were never signed. What they are
    /// called is settled then, too: by the public URL, or by the key if there is none.
    pub async fn open(
        appender: &PgPool,
        path: &Path,
        public_url: Option<&str>,
    ) -> Result<Self, CheckpointsError> {
        let (key, known) = (AuditSigningKey::load(path)?, known(appender).await?);
        let key = match (key, &known) {
            (Some(key), _) => key,
            (None, None) => AuditSigningKey::create(path)?,
            (None, Some(known)) => return Err(another(path, known)),
        };
        let verifier = match known {
            Some(known) => known,
            None => {
                settle(appender, &VerifierKey::new(name_of(public_url, key.public()), *key.public())).await?
            }
        };
        if verifier.public() == key.public() {
            Ok(Self { key, verifier })
        } else {
            Err(another(path, &verifier))
        }
    }

    /// What auditors pin: good for the checkpoints of every workspace.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The checkpoint of a workspace at that size. The same tree always gives the same bytes: nothing in it is of the moment.
    pub fn sign(&self, workspace: WorkspaceId, size: u64, root: Hash) -> Result<String, Unsignable> {
        let verifier = self.verifier.of_workspace(workspace);
        let text = Checkpoint::new(verifier.name(), size, root, "").map_err(|_| Unsignable)?.to_bytes();
        let id = key_id(verifier.name(), &verifier.encoded());
        let signature = Signature::new(verifier.name().to_owned(), id, self.key.sign(&text));
        let note = Note::new(&text, &[signature.map_err(|_| Unsignable)?]).map_err(|_| Unsignable)?;
        String::from_utf8(note.to_bytes()).map_err(|_| Unsignable)
    }
}

/// The name of this installation's logs cannot stand in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of the audit signing key cannot stand in a checkpoint")]
pub struct Unsignable;

fn another(path: &Path, known: &VerifierKey) -> CheckpointsError {
    CheckpointsError::AnotherKey { path: path.to_owned(), known: known.to_string() }
}

async fn known(appender: &PgPool) -> Result<Option<VerifierKey>, sqlx::Error> {
    let row = sqlx::query!("select name, public_key from audit_signing_key where id = 1")
        .fetch_optional(appender)
        .await?;
    row.map(|row| {
        let public = row.public_key.try_into().map_err(|_| sqlx::Error::Decode("not 32 bytes".into()))?;
        Ok(VerifierKey::new(row.name, public))
    })
    .transpose()
}

/// Remembers name and key, unless another process was first; gives what is remembered.
async fn settle(appender: &PgPool, ours: &VerifierKey) -> Result<VerifierKey, sqlx::Error> {
    sqlx::query!(
        "insert into audit_signing_key (id, name, public_key) values (1, $1, $2) on conflict (id) do nothing",
        ours.name(),
        ours.public()
    )
    .execute(appender)
    .await?;
    known(appender).await?.ok_or(sqlx::Error::RowNotFound)
}

/// The public URL without its scheme; without one a name nobody else has.
fn name_of(public_url: Option<&str>, public: &[u8; 32]) -> String {
    let url = public_url.and_then(|url| url::Url::parse(url).ok());
    let named = url.as_ref().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        Some(format!("{}{port}{path}", url.host_str()?).replace('+', "%2B"))
    });
    named.unwrap_or_else(|| {
        let short = public.map(|byte| format!("{byte:02x}")).concat();
        format!("tenure-{}", short.get(..16).unwrap_or(&short))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_called_by_its_public_url() {
        for (url, name) in [
            ("https://tenure.example", "tenure.example"),
            ("https://tenure.example/", "tenure.example"),
            ("https://example.com:8443/a+b/tenure/", "example.com:8443/a%2Bb/tenure"),
            ("http://[::1]:7373", "[::1]:7373"),
        ] {
            assert_eq!(name_of(Some(url), &[7; 32]), name);
        }
        assert_eq!(name_of(None, &[0xab; 32]), "tenure-abababababababab");
    }
}
