//! Work on a thread and a runtime of its own: whatever requests do with the processor, it gets its share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tokio::runtime;
use tokio::sync::watch;

/// Work that goes on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Working(watch::Receiver<()>);

impl Working {
    /// Waits for the thread's end.
    pub async fn ended(&self) {
        let mut alive = self.0.clone();
        // An error means that the sender is gone, and with it the thread.
        while alive.changed().await.is_ok() {}
    }
}

/// Starts work on a thread of that name. What waits for a socket or for time belongs to the thread's own runtime and
/// ends with it. Fails if the system gives no thread.
pub fn spawn<W: Future<Output = ()>>(
    name: &'static str,
    work: impl FnOnce() -> W + Send + 'static,
) -> std::io::Result<Working> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (alive, ended) = watch::channel(());
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let worked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { work().await })));
        if worked.is_err() {
            tracing::error!(thread = name, "it ended badly");
        }
        drop(alive);
    })?;
    Ok(Working(ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_end_is_seen_however_it_ends() {
        let calm = spawn("calm", async || tokio::task::yield_now().await).unwrap();
        calm.ended().await;
        let bad = spawn("bad", async || panic!("as it must")).unwrap();
        bad.ended().await;
    }
}
