//! This program once more, as a process of its own: what must not share the measured process's threads or memory.
//!
//! It gets what it is to do as JSON on its input, and says what came of it as JSON on its output.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Before the name of what the process is to do.
const CHILD: &str = "--child";

/// Lets another process do it, and waits without holding up this one's tasks.
pub async fn run<Task: Serialize, Outcome: DeserializeOwned + Send + 'static>(
    name: &'static str,
    task: &Task,
) -> Outcome {
    let task = serde_json::to_vec(task).expect("a task");
    tokio::task::spawn_blocking(move || waited(name, &task)).await.expect("waited")
}

fn waited<Outcome: DeserializeOwned>(name: &str, task: &[u8]) -> Outcome {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([CHILD, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the other process");
    child.stdin.take().expect("its input").write_all(task).expect("told");
    let output = child.wait_with_output().expect("the other process");
    assert!(output.status.success(), "the other process: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("what came of it")
}

/// What this process is to do, if it is such a process.
pub fn name() -> Option<String> {
    let mut args = std::env::args().skip(1);
    (args.next()? == CHILD).then(|| args.next()).flatten()
}

/// That other process: does it and says what came of it.
pub fn answer<Task: DeserializeOwned, Outcome: Serialize>(work: impl FnOnce(Task) -> Outcome) {
    let mut task = Vec::new();
    std::io::stdin().read_to_end(&mut task).expect("a task");
    let outcome = work(serde_json::from_slice(&task).expect("a task"));
    println!("{}", serde_json::to_string(&outcome).expect("an outcome"));
}
