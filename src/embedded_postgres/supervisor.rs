//! Runs a program that ends when we end, however we end.
//!
//! A shell starts the program and holds a pipe to us. When the pipe closes, because we closed it or because we
//! are gone, it interrupts the program until that is gone too. Killing a process leaves nothing behind that
//! could act for it, so two shells watch: the one that waits for the program, and a guard.

use super::run_as::RunAs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

/// Arguments: the directory that tells our program from a stranger with a recycled pid; two directories to
/// remove at the end, or nothing; the command.
///
/// - Standard input closes when the owner is gone, and any line on it says to remove nothing; standard output closes when the program is.
/// - The interrupt is repeated, because it is lost on a program that has not set up its handlers yet, and
///   becomes a quit after a minute.
const SCRIPT: &str = r#"
guarded=$1 remove=$2 remove_too=$3; shift 3
exec 3<&0 </dev/null
"$@" >&2 3<&- &
program=$!
is_ours() {
    if [ -d /proc/self ]; then tr '\0' ' ' <"/proc/$program/cmdline"; else ps -ww -o args= -p "$program"; fi 2>/dev/null |
        grep -qF -- "$guarded"
}
until_orphaned() { while read -r _; do remove=; done <&3; }
clean_up() { cd /; [ -z "$remove" ] || rm -rf -- "$remove" "$remove_too"; }
(
    until_orphaned
    tries=0
    while is_ours; do
        if [ $tries -lt 600 ]; then kill -INT "$program"; else kill -QUIT "$program"; fi
        tries=$((tries + 1))
        sleep 0.1
    done 2>/dev/null
    clean_up
) >&2 &
guard=$!
wait "$program"
status=$?
kill -KILL "$guard" 2>/dev/null
wait "$guard" 2>/dev/null
exec >&2
until_orphaned
clean_up
exit $status
"#;

#[derive(Debug)]
pub(super) struct Supervised {
    shell: Child,
    /// Closing it is the order to stop.
    life: Option<ChildStdin>,
    running: ChildStdout,
}

pub(super) struct Program<'a> {
    pub(super) path: &'a Path,
    /// A directory among its arguments that no other program has.
    pub(super) works_in: &'a Path,
    pub(super) remove_at_end: Option<[&'a Path; 2]>,
    pub(super) log: &'a File,
    pub(super) run_as: RunAs,
}

impl Supervised {
    pub(super) fn spawn(program: &Program<'_>, add_args: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let nothing = Path::new("");
        let [remove, remove_too] = program.remove_at_end.unwrap_or([nothing, nothing]);
        let launcher: [&OsStr; 7] = [
            "/bin/sh".as_ref(),
            "-c".as_ref(),
            SCRIPT.as_ref(),
            "tenure-postgres".as_ref(),
            program.works_in.as_ref(),
            remove.as_ref(),
            remove_too.as_ref(),
        ];
        let mut command = program.run_as.command_under(&launcher, program.path);
        add_args(&mut command);
        for theirs in ["PGDATA", "PGPORT", "PGHOST", "PGOPTIONS", "PGUSER", "PGDATABASE"] {
            command.env_remove(theirs);
        }
        command.env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(program.log.try_clone()?);
        command.process_group(0); // Ctrl-C in the terminal is for us; we then stop it in order
        let mut shell = command.spawn()?;
        let (Some(life), Some(running)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(io::Error::other("the supervisor has no pipes"));
        };
        Ok(Self { shell, life: Some(life), running })
    }

    /// Waits so long for the program to end by itself.
    pub(super) fn has_ended_within(&self, timeout: impl Into<PollTimeout>) -> bool {
        let mut ends = [PollFd::new(self.running.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, timeout.into()).is_ok_and(|ready| ready > 0)
    }

    /// Interrupts the program if it still runs, and waits for it.
    pub(super) fn stop(&mut self) -> io::Result<ExitStatus> {
        self.life = None;
        self.shell.wait()
    }

    /// For a program whose files outlast it.
    pub(super) fn stop_and_keep_files(&mut self) -> io::Result<ExitStatus> {
        if let Some(life) = &mut self.life {
            writeln!(life, "keep")?;
        }
        self.stop()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "could not wait for the supervisor of PostgreSQL");
        }
    }
}
