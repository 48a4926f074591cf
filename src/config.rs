//! Settings: flags, then `TENURE_*` environment variables, then `tenure.toml`. A wrong key or value is refused by name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Deserializer, Serialize};

use crate::feeds::Times;
use crate::secrets::{MasterKeyError, MasterKeys};

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
    /// The master key itself, instead of a file: 32 bytes in hexadecimal or Base64.
    pub master_key: Option<String>,
    /// Master keys before that one, comma-separated, while keys they wrap are still about.
    pub previous_master_keys: Option<String>,
    /// The file of the key that checkpoints of the audit log are signed with; beside the master key's by default.
    pub audit_signing_key_file: Option<PathBuf>,
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
    /// How old the access index may be before the log is asked instead.
    #[serde(default = "default_access_staleness", deserialize_with = "duration")]
    pub access_staleness: Duration,
    /// How many live streams of events one process keeps; one workspace may have a tenth of them.
    #[serde(default = "default_feed_streams")]
    pub feed_streams: usize,
    #[serde(skip)]
    pub feed_times: Times,
    /// What is logged, as `tracing` directives.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where the product's users reach Tenure.
    pub public_url: Option<String>,
    /// How long a session token counts; with each request to `/v1/session` there is a new one.
    #[serde(default = "default_session_token_lifetime", deserialize_with = "duration")]
    pub session_token_lifetime: Duration,
    /// How long a session lasts, whatever happens.
    #[serde(default = "default_session_lifetime", deserialize_with = "duration")]
    pub session_lifetime: Duration,
    /// How long one key signs session tokens.
    #[serde(default = "default_session_key_rotation", deserialize_with = "duration")]
    pub session_key_rotation: Duration,
    /// Where mail goes out: `smtp://` (STARTTLS where it is offered; `?tls=required` to insist) or `smtps://`.
    pub smtp_url: Option<String>,
    /// Whom mail is from: `Tenure <tenure@example.com>`.
    pub mail_from: Option<String>,
    /// A folder of templates that are taken in place of the built-in ones.
    pub mail_templates: Option<PathBuf>,
    /// The language of what goes out where nothing else is said.
    #[serde(default = "default_mail_language")]
    pub mail_language: String,
    /// The product's own pages that take an invitation, comma-separated; the first is the usual one. `{token}` stands
    /// for the token. Without any, Tenure's own page is used.
    pub accept_urls: Option<String>,
    /// The product's page to sign in, for Tenure's own page; `{return_to}` stands for the way back.
    pub sign_in_url: Option<String>,
    /// Networks that webhooks may reach although they are private: CIDRs, comma-separated.
    pub webhook_allow_networks: Option<String>,
    #[serde(skip)]
    pub delivery_times: crate::deliveries::Times,
    #[serde(skip)]
    pub limits: crate::overload::Limits,
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

fn default_access_staleness() -> Duration {
    Duration::from_secs(2)
}

fn default_feed_streams() -> usize {
    1_000
}

fn default_mail_language() -> String {
    "en".to_owned()
}

fn default_log() -> String {
    "info,sqlx=warn".to_owned()
}

fn default_session_token_lifetime() -> Duration {
    Duration::from_mins(15)
}

fn default_session_lifetime() -> Duration {
    Duration::from_hours(12)
}

fn default_session_key_rotation() -> Duration {
    Duration::from_hours(30 * 24)
}

/// A span of time as people write it: `15m`, `12h`, `30d`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| serde::de::Error::custom(format!("{error}, as in \"15m\"")))
}

/// How long session credentials count, once the settings were found to be in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    pub token_lifetime: TimeDelta,
    pub lifetime: TimeDelta,
    pub key_rotation: TimeDelta,
}

/// A setting whose value cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("{name} must be between a second and ten years")]
    OutOfBounds { name: &'static str },
    #[error("TENURE_SESSION_KEY_ROTATION must not be shorter than TENURE_SESSION_TOKEN_LIFETIME")]
    RotationTooShort,
    #[error("TENURE_PUBLIC_URL must be an http or https URL without user, query and fragment")]
    PublicUrl,
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

    /// The master keys: from the settings, or from their file, which is made on the first start.
    pub fn master_keys(&self) -> Result<MasterKeys, MasterKeyError> {
        match &self.master_key {
            Some(current) => MasterKeys::from_settings(current, self.previous_master_keys.as_deref()),
            None => MasterKeys::load_or_create(&self.master_key_file()),
        }
    }

    pub fn master_key_file(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data_dir.join("master.key"))
    }

    pub fn audit_signing_key_file(&self) -> PathBuf {
        self.audit_signing_key_file.clone().unwrap_or_else(|| {
            // Whoever shares the master key between processes shares this one with it.
            self.master_key_file().with_file_name("audit-signing.key")
        })
    }

    /// How long session tokens, sessions and keys last.
    pub fn session_times(&self) -> Result<SessionTimes, SettingError> {
        let times = SessionTimes {
            token_lifetime: bounded("TENURE_SESSION_TOKEN_LIFETIME", self.session_token_lifetime)?,
            lifetime: bounded("TENURE_SESSION_LIFETIME", self.session_lifetime)?,
            key_rotation: bounded("TENURE_SESSION_KEY_ROTATION", self.session_key_rotation)?,
        };
        // A token must not outlive the key that vouches for it, which is published for one rotation after its own.
        if times.key_rotation < times.token_lifetime {
            Err(SettingError::RotationTooShort)
        } else {
            Ok(times)
        }
    }

    /// What Tenure calls itself in the tokens it issues, exactly as it was set; where it listens if nothing was.
    pub fn issuer(&self) -> Result<String, SettingError> {
        let Some(public) = &self.public_url else { return Ok(format!("http://{}", self.listen)) };
        let url = url::Url::parse(public).map_err(|_| SettingError::PublicUrl)?;
        let plain = url.username().is_empty() && url.password().is_none();
        let whole = url.query().is_none() && url.fragment().is_none();
        if ["http", "https"].contains(&url.scheme()) && plain && whole {
            Ok(public.clone())
        } else {
            Err(SettingError::PublicUrl)
        }
    }

    pub fn operator_key_file(&self) -> PathBuf {
        self.data_dir.join("operator.key")
    }

    /// Where a running Tenure tells others how to reach its own PostgreSQL.
    pub fn embedded_url_file(&self) -> PathBuf {
        self.data_dir.join("database-url")
    }
}

fn bounded(name: &'static str, time: Duration) -> Result<TimeDelta, SettingError> {
    let time = TimeDelta::from_std(time).map_err(|_| SettingError::OutOfBounds { name })?;
    let fits = (TimeDelta::seconds(1)..=TimeDelta::days(3_653)).contains(&time);
    if fits { Ok(time) } else { Err(SettingError::OutOfBounds { name }) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Result<Settings, Box<figment::Error>> {
        Figment::from(Toml::string(toml)).extract().map_err(Box::new)
    }

    #[test]
    fn sessions_last_their_usual_times_unless_told_otherwise() {
        let usual = settings("").unwrap().session_times().unwrap();
        assert_eq!(
            (usual.token_lifetime, usual.lifetime, usual.key_rotation),
            (TimeDelta::minutes(15), TimeDelta::hours(12), TimeDelta::days(30))
        );
        let told = settings("session_token_lifetime = '90s'\nsession_lifetime = '1h 30m'").unwrap();
        let told = told.session_times().unwrap();
        assert_eq!((told.token_lifetime, told.lifetime), (TimeDelta::seconds(90), TimeDelta::minutes(90)));
        for odd in ["'soon'", "'-1m'", "''", "15", "'15'"] {
            let refused = settings(&format!("session_lifetime = {odd}")).unwrap_err().to_string();
            assert!(refused.contains("session_lifetime"), "{odd}: {refused}");
        }
    }

    #[test]
    fn a_key_signs_for_as_long_as_a_token_counts() {
        let told = |toml: &str| settings(toml).unwrap().session_times().map(drop);
        assert_eq!(told("session_token_lifetime = '1h'\nsession_key_rotation = '1h'"), Ok(()));
        let short = told("session_token_lifetime = '1h'\nsession_key_rotation = '59m'");
        assert_eq!(short, Err(SettingError::RotationTooShort));
        for name in ["token_lifetime", "lifetime", "key_rotation"] {
            for odd in ["0s", "999ms", "11y"] {
                let refused = told(&format!("session_{name} = '{odd}'")).unwrap_err().to_string();
                assert!(refused.contains(&format!("TENURE_SESSION_{}", name.to_uppercase())), "{refused}");
            }
        }
    }

    #[test]
    fn tenure_calls_itself_by_its_public_url_or_by_where_it_listens() {
        assert_eq!(settings("").unwrap().issuer().unwrap(), "http://127.0.0.1:7373");
        let named = settings("public_url = 'https://tenure.example/'").unwrap();
        assert_eq!(named.issuer().unwrap(), "https://tenure.example/", "exactly as set");
        for odd in
            ["tenure.example", "ftp://tenure.example", "https://u:p@tenure.example", "https://x.example/?a"]
        {
            assert_eq!(
                settings(&format!("public_url = '{odd}'")).unwrap().issuer(),
                Err(SettingError::PublicUrl)
            );
        }
    }
}
