//! Decides as whom PostgreSQL runs: it refuses root.

use super::error::EmbeddedPostgresError;
use nix::unistd::{Gid, Uid, User};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

/// nobody, nearly everywhere.
const NOBODY: u32 = 65534;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    /// We are not root.
    Ourselves,
    /// Root outside, this uid inside a user namespace of its own. Best for root: files stay root's, so nobody
    /// else on the machine can reach them. Blocked in many containers.
    Namespace { inside: Uid },
    /// Root gives up its rights for good: at the program if `setpriv` is there, else at its launcher already.
    Other { uid: Uid, gid: Gid, by_setpriv: bool },
}

impl RunAs {
    /// `data` is the cluster, which need not exist: its owner is the only one who can open it.
    pub(super) fn detect(data: &Path) -> Result<Self, EmbeddedPostgresError> {
        if !Uid::effective().is_root() {
            return Ok(Self::Ourselves);
        }
        let refused = |reason: String| EmbeddedPostgresError::NoUnprivilegedUser { reason };
        if let Some(name) = env::var("TENURE_PG_RUN_AS").ok().filter(|name| !name.is_empty()) {
            return Self::other(&name)
                .ok_or_else(|| refused(format!("TENURE_PG_RUN_AS={name} names no such user")));
        }
        match fs::metadata(data).map(|cluster| cluster.uid()) {
            Ok(0) => Self::namespace().ok_or_else(|| {
                refused(format!(
                    "{} belongs to root, which needs a user namespace to be read",
                    data.display()
                ))
            }),
            Ok(owner) => {
                let user = User::from_uid(Uid::from_raw(owner)).ok().flatten();
                user.map(Self::from)
                    .ok_or_else(|| refused(format!("{} belongs to the unknown uid {owner}", data.display())))
            }
            Err(_) => Self::namespace()
                .or_else(|| Self::other("postgres"))
                .or_else(|| Self::other("nobody"))
                .ok_or_else(|| {
                    refused("there is neither a user namespace nor a user postgres or nobody".to_owned())
                }),
        }
    }

    fn other(name: &str) -> Option<Self> {
        User::from_name(name).ok().flatten().filter(|user| !user.uid.is_root()).map(Self::from)
    }

    /// The uid inside must have a name: initdb looks it up.
    fn namespace() -> Option<Self> {
        let nobody = User::from_name("nobody").ok().flatten();
        let inside = nobody.map_or(Uid::from_raw(NOBODY), |user| user.uid);
        let candidate = Self::Namespace { inside };
        candidate.works().then_some(candidate)
    }

    /// Who owns the files that PostgreSQL makes, seen from here.
    pub(super) fn owner(self) -> (Uid, Gid) {
        match self {
            Self::Ourselves | Self::Namespace { .. } => (Uid::effective(), Gid::effective()),
            Self::Other { uid, gid, .. } => (uid, gid),
        }
    }

    /// A command that runs `program` with the rights it may have.
    pub(super) fn command(self, program: &Path) -> Command {
        self.command_under(&[], program)
    }

    /// The same, started by `launcher`, which keeps root's rights where it can: it has to clean up.
    pub(super) fn command_under(self, launcher: &[&OsStr], program: &Path) -> Command {
        let mut words: Vec<OsString> = launcher.iter().map(OsString::from).collect();
        words.extend(self.prefix().into_iter().map(OsString::from));
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if let Self::Other { uid, gid, by_setpriv: false } = self {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// util-linux does it, because between fork and exec we could only do it with unsafe code.
    fn prefix(self) -> Vec<String> {
        let command_line = match self {
            Self::Namespace { inside } => {
                format!("unshare --user --map-user={inside} --map-group={inside} --")
            }
            Self::Other { uid, gid, by_setpriv: true } => {
                format!("setpriv --reuid={uid} --regid={gid} --clear-groups --")
            }
            Self::Ourselves | Self::Other { by_setpriv: false, .. } => String::new(),
        };
        command_line.split_whitespace().map(str::to_owned).collect()
    }

    fn works(self) -> bool {
        let mut probe = self.command(Path::new("true"));
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    }

    /// Whether PostgreSQL could enter this directory: a home of mode 0700 above it shuts others out.
    pub(super) fn can_enter(self, dir: &Path) -> bool {
        let mut probe = self.command(Path::new("/bin/sh"));
        probe.args(["-c", r#"cd -- "$1""#, "sh"]).arg(dir).current_dir("/");
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self == Self::Ourselves || probe.status().is_ok_and(|status| status.success())
    }
}

impl From<User> for RunAs {
    fn from(user: User) -> Self {
        let other = |by_setpriv| Self::Other { uid: user.uid, gid: user.gid, by_setpriv };
        other(other(true).works())
    }
}
