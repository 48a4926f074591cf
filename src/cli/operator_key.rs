//! `tenure operator-key`: shows the key, or replaces it.

use anyhow::bail;

use crate::config::Settings;
use crate::secrets::OperatorKey;

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
pub(super) fn run(settings: &Settings, rotate: bool) -> anyhow::Result<()> {
    let path = settings.operator_key_file();
    if rotate {
        if settings.operator_key.is_some() {
            bail!("the operator key is preset by TENURE_OPERATOR_KEY: change it there");
        }
        println!("{}", OperatorKey::rotate(&path)?.reveal());
        return Ok(());
    }
    let (key, _) = OperatorKey::load_or_create(&path, settings.operator_key.as_deref())?;
    println!("{}", key.reveal());
    Ok(())
}
