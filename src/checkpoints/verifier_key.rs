//! The verifier key: name and public key as one line, `<name>+<hash>+<key>`, by which a checkpoint is known to be genuine.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, NoteError, StandardVerifier, VerifierList, key_id};
use tenure_aggregates::WorkspaceId;
use tlog_tiles::Checkpoint;

/// Ed25519, as the signed-note format counts algorithms.
const ED25519: u8 = 1;
const WORKSPACES: &str = "/workspaces/";

/// What an auditor pins: the key of an installation, good for all its workspaces, or of one workspace's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

/// A text that is no verifier key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no verifier key of Tenure's, as in tenure.example+01234567+AQ…")]
pub struct NoVerifierKey;

/// Why a checkpoint counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("it is not a checkpoint at all")]
    Malformed,
    #[error("it is a checkpoint of {0}, for which the verifier key is not")]
    AnotherLog(String),
    #[error("it is not signed with the verifier key")]
    NotSigned,
    #[error("its signature is forged, or it was changed after it was signed")]
    Forged,
}

impl VerifierKey {
    pub fn new(name: String, public: [u8; 32]) -> Self {
        Self { name, public }
    }

    pub fn parse(text: &str) -> Result<Self, NoVerifierKey> {
        let text = text.trim();
        StandardVerifier::new(text).map_err(|_| NoVerifierKey)?;
        let (name, rest) = text.split_once('+').ok_or(NoVerifierKey)?;
        let (_, key) = rest.split_once('+').ok_or(NoVerifierKey)?;
        let key = STANDARD.decode(key).map_err(|_| NoVerifierKey)?;
        let public = key.strip_prefix(&[ED25519]).ok_or(NoVerifierKey)?;
        Ok(Self::new(name.to_owned(), public.try_into().map_err(|_| NoVerifierKey)?))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The key with the number of its algorithm, as it is hashed and written.
    pub(super) fn encoded(&self) -> Vec<u8> {
        [&[ED25519][..], &self.public].concat()
    }

    /// The key of a workspace's log.
    #[must_use]
    pub fn of_workspace(&self, workspace: WorkspaceId) -> Self {
        Self::new(format!("{}{WORKSPACES}{workspace}", self.name), self.public)
    }

    /// The checkpoint in a signed note and whose it is, if this key vouches for it.
    pub fn open(&self, note: &[u8]) -> Result<(WorkspaceId, Checkpoint), Untrusted> {
        let note = Note::from_bytes(note).map_err(|_| Untrusted::Malformed)?;
        let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_| Untrusted::Malformed)?;
        let origin = checkpoint.origin();
        let another = || Untrusted::AnotherLog(origin.to_owned());
        let (installation, workspace) = origin.rsplit_once(WORKSPACES).ok_or_else(another)?;
        let workspace = workspace.parse().map(WorkspaceId).map_err(|_| another())?;
        let of_log = Self::new(origin.to_owned(), self.public);
        // One log has one name: another spelling of the id would be another.
        let spelt = Self::new(installation.to_owned(), self.public).of_workspace(workspace) == of_log;
        if !spelt || (self.name != installation && self.name != origin) {
            return Err(another());
        }
        let verifier = StandardVerifier::new(&of_log.to_string()).map_err(|_| Untrusted::NotSigned)?;
        match note.verify(&VerifierList::new(vec![Box::new(verifier)])) {
            Ok(_) => Ok((workspace, checkpoint)),
            Err(NoteError::UnverifiedNote) => Err(Untrusted::NotSigned),
            Err(_) => Err(Untrusted::Forged),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = self.encoded();
        write!(f, "{}+{:08x}+{}", self.name, key_id(&self.name, &encoded), STANDARD.encode(encoded))
    }
}
