//! Settings: flags, then `TENURE_*` environment variables, then `tenure.toml`. A wrong key or value is refused by name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

/// Everything that can be set. Each field is `TENURE_<NAME>` in the environment and `<name>` in `tenure.toml`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where keys, and without a database URL the database, are kept.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// A PostgreSQL 15 or later; without one, Tenure runs its own under the data directory.
    pub database_url: Option<String>,
    /// Presets the operator key: at least 32 characters.
    pub operator_key: Option<String>,
    /// The master key's file; `<data-dir>/master.key` by default.
    pub master_key_file: Option<PathBuf>,
    /// Issuers whose JWTs count: `[{"issuer":…,"audience":…,"jwks_url":…}]`, or `issuer|audience|jwks_url`, comma-separated.
    pub jwt_issuers: Option<String>,
    /// `class=credential/address`, comma-separated: requests per minute on the routes of a class (`token`, `code`,
    /// `invitation`, `session`) with one credential, and from one address. `off` for none. Every process counts by itself.
    pub rate_limits: Option<String>,
    /// Networks of proxies whose `Forwarded` or `X-Forwarded-For` is believed: CIDRs, comma-separated.
    pub trusted_proxies: Option<String>,
    /// Connections for reads, and as many for loading streams.
    #[serde(default = "default_pool_size")]
    pub pool_size: u32,
    /// How old the access index may be before the log is asked instead, in seconds.
    #[serde(default = "default_access_staleness")]
    pub access_staleness: f64,
    /// What is logged, as `tracing` directives.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where the product's users reach Tenure.
    pub public_url: Option<String>,
    /// Where mail goes out.
    pub smtp_url: Option<String>,
    /// Whom mail is from.
    pub mail_from: Option<String>,
    /// Networks that webhooks may reach although they are private.
    pub webhook_allow_networks: Option<String>,
}

/// What was said on the command line.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flags {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7373))
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("./.tenure")
}

fn default_pool_size() -> u32 {
    16
}

fn default_access_staleness() -> f64 {
    2.0
}

fn default_log() -> String {
    "info,sqlx=warn".to_owned()
}

/// Settings that the embedded PostgreSQL reads by itself.
const ELSEWHERE: &[&str] = &["pg_bin", "pg_run_as"];

impl Settings {
    /// Reads them; `file` is `tenure.toml` in the working directory, unless another was named.
    pub fn read(flags: &Flags, file: Option<&Path>) -> Result<Self, Box<figment::Error>> {
        let toml = match file {
            Some(named) => Toml::file_exact(named),
            None => Toml::file_exact("tenure.toml"),
        };
        let absent = file.is_none() && !Path::new("tenure.toml").exists();
        let figment = if absent { Figment::new() } else { Figment::from(toml) };
        // Texts stay texts: a key or a URL of digits alone is no number.
        let env = Env::prefixed("TENURE_").ignore(ELSEWHERE).lowercase(true);
        let fallback =
            std::env::var("DATABASE_URL").ok().filter(|_| std::env::var_os("TENURE_DATABASE_URL").is_none());
        let mut figment = figment;
        if let Some(url) = fallback {
            figment = figment.merge(Serialized::default("database_url", url));
        }
        figment.merge(env).merge(Serialized::defaults(flags)).extract().map_err(Box::new)
    }

    pub fn master_key_file(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data_dir.join("master.key"))
    }

    pub fn operator_key_file(&self) -> PathBuf {
        self.data_dir.join("operator.key")
    }

    /// Where a running Tenure tells others how to reach its own PostgreSQL.
    pub fn embedded_url_file(&self) -> PathBuf {
        self.data_dir.join("database-url")
    }
}

impl std::fmt::Debug for Settings {
    /// Without what is secret, or may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("external_database", &self.database_url.is_some())
            .finish_non_exhaustive()
    }
}
