//! The one place where secrets take their randomness from the operating system.

/// `N` unpredictable bytes.
///
/// Without randomness every secret made from here on would be guessable, and there is no caller that could
/// do anything sensible about it: the process ends rather than going on.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "the operating system gives no randomness");
        std::process::abort();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::random_bytes;

    #[test]
    fn two_draws_differ() {
        assert_ne!(random_bytes::<32>(), random_bytes::<32>());
    }
}
