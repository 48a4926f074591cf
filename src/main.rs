//! The `tenure` binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Requests are many small allocations that one thread makes and another frees.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    tenure::cli::run().await
}
