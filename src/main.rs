//! The `tenure` binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tenure::cli::run().await
}
