//! Where and when something was measured.

use std::process::Command;

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::postgres;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    time: String,
    cores: usize,
    cpu: String,
    memory_gib: u64,
    postgres: String,
    revision: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let memory = first_of("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()));
        Self {
            time: tenure::clock::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            cpu: first_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_gib: memory.unwrap_or(0).div_ceil(1024 * 1024),
            postgres: postgres::version(),
            revision: revision().unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// Everything but when.
    pub(super) fn place(&self) -> String {
        format!(
            "{} cores ({}), {} GiB, PostgreSQL {}, revision {}",
            self.cores, self.cpu, self.memory_gib, self.postgres, self.revision
        )
    }

    pub(super) fn day(&self) -> &str {
        self.time.split('T').next().unwrap_or(&self.time)
    }
}

/// The value behind the first such name in a file of names and values.
fn first_of(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn revision() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
