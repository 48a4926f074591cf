//! The `tenure` binary.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Requests come with futures of many kilobytes, and the system's allocator is slow with those.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tenure::cli::run().await
}
