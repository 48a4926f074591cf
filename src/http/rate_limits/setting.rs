//! What each class allows: the value of `TENURE_RATE_LIMITS`.

use std::num::NonZeroU32;

use strum::EnumCount;

use super::class::Class;

/// The highest number a limit may be.
const HIGHEST: u32 = 1_000_000;

/// Requests per minute; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub credential: NonZeroU32,
    pub address: NonZeroU32,
}

impl Quota {
    const fn new(credential: u32, address: u32) -> Option<Self> {
        match (NonZeroU32::new(credential), NonZeroU32::new(address)) {
            (Some(credential), Some(address)) if credential.get() <= HIGHEST && address.get() <= HIGHEST => {
                Some(Self { credential, address })
            }
            _ => None,
        }
    }

    /// 120/1200 for tokens, 60/600 for codes, 600/6000 for invitations, 240/2400 for sessions: what is guessed at has
    /// too many bits for any of them, so they need only keep a flood from the others.
    fn of(class: Class) -> Self {
        let quota = match class {
            Class::Token => const { Self::new(120, 1_200) },
            Class::Code => const { Self::new(60, 600) },
            Class::Invitation => const { Self::new(600, 6_000) },
            Class::Session => const { Self::new(240, 2_400) },
        };
        quota.unwrap_or(Self { credential: NonZeroU32::MIN, address: NonZeroU32::MIN })
    }
}

/// What every class allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas([Quota; Class::COUNT]);

/// What is wrong with the setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitsError {
    #[error("TENURE_RATE_LIMITS: {0:?} is not of the form class=credential/address, as in token=60/300")]
    Form(String),
    #[error("TENURE_RATE_LIMITS: there is no class {0:?}; there are token, code, invitation and session")]
    Class(String),
    #[error("TENURE_RATE_LIMITS: {0} is given twice")]
    Twice(&'static str),
    #[error(
        "TENURE_RATE_LIMITS: {class}: {numbers:?} is not two numbers of requests per minute from 1 to {}; \
         `off`, alone, turns all limits off",
        HIGHEST
    )]
    Numbers { class: &'static str, numbers: String },
}

impl Default for Quotas {
    fn default() -> Self {
        Self([Class::Token, Class::Code, Class::Invitation, Class::Session].map(Quota::of))
    }
}

impl Quotas {
    /// `class=credential/address`, comma-separated; what is not named keeps its default. None for `off`.
    pub fn parse(setting: &str) -> Result<Option<Self>, RateLimitsError> {
        if setting.trim() == "off" {
            return Ok(None);
        }
        let (mut quotas, mut named) = (Self::default(), Vec::new());
        for entry in setting.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (class, quota) = parsed(entry)?;
            if named.contains(&class) {
                return Err(RateLimitsError::Twice(class.name()));
            }
            named.push(class);
            quotas.0[class as usize] = quota;
        }
        Ok(Some(quotas))
    }

    /// In the order of the classes.
    pub(super) fn all(&self) -> [Quota; Class::COUNT] {
        self.0
    }
}

fn parsed(entry: &str) -> Result<(Class, Quota), RateLimitsError> {
    let (name, numbers) = entry.split_once('=').ok_or_else(|| RateLimitsError::Form(entry.to_owned()))?;
    let (name, numbers) = (name.trim(), numbers.trim());
    let class: Class = name.parse().map_err(|_| RateLimitsError::Class(name.to_owned()))?;
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let quota = numbers
        .split_once('/')
        .and_then(|(credential, address)| Quota::new(number(credential)?, number(address)?));
    quota
        .map(|quota| (class, quota))
        .ok_or_else(|| RateLimitsError::Numbers { class: class.name(), numbers: numbers.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(setting: &str) -> [(u32, u32); 4] {
        Quotas::parse(setting).unwrap().unwrap().all().map(|q| (q.credential.get(), q.address.get()))
    }

    #[test]
    fn what_is_not_named_keeps_its_default() {
        let default = [(120, 1_200), (60, 600), (600, 6_000), (240, 2_400)];
        assert_eq!(numbers(""), default);
        assert_eq!(numbers("code=1/2"), [(120, 1_200), (1, 2), (600, 6_000), (240, 2_400)]);
        assert_eq!(
            numbers(" session = 7 / 1000000 , token=5/4,"),
            [(5, 4), (60, 600), (600, 6_000), (7, HIGHEST)]
        );
        assert_eq!(Quotas::parse(" off "), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (setting, part) in [
            ("tokens=1/2", "no class \"tokens\""),
            ("Token=1/2", "no class \"Token\""),
            ("code=1/2, =1/2", "no class \"\""),
            ("60/300", "\"60/300\" is not of the form"),
            ("code=1/2, off", "\"off\" is not of the form"),
            ("token=1/2,token=1/2", "token is given twice"),
            ("code=0/1", "code: \"0/1\""),
            ("code=1/0", "code: \"1/0\""),
            ("code=off", "code: \"off\""),
            ("code=1", "code: \"1\""),
            ("code=1/2/3", "code: \"1/2/3\""),
            ("code=-1/2", "code: \"-1/2\""),
            ("code=1/1000001", "code: \"1/1000001\""),
            ("code=1/99999999999", "code: \"1/99999999999\""),
        ] {
            let error = Quotas::parse(setting).unwrap_err().to_string();
            assert!(error.starts_with("TENURE_RATE_LIMITS: ") && error.contains(part), "{setting}: {error}");
        }
    }
}
