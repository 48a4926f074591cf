//! Validation at the door: the domain's rules for texts, said so that garde can list them all.

use std::net::IpAddr;

use chrono::{Datelike, Duration};
use ipnet::IpNet;
use tenure_aggregates::api_key::MAX_OVERLAP;
use tenure_aggregates::invitation::{MAX_LIFETIME, MIN_LIFETIME};
use tenure_aggregates::values::{self, Email, Invalid, Slug};
use tenure_aggregates::{PermissionName, Role, Time, UserId};
use tenure_projections::audit_log::actions;

use super::webhooks::url as webhook_url;
use crate::feeds::{Types, types};
use crate::mail::language::is_tag;
use crate::past::Moment;

type Checked = Result<(), garde::Error>;

fn said(result: Result<(), Invalid>) -> Checked {
    result.map_err(|invalid| garde::Error::new(invalid.to_string()))
}

fn fault(code: &str, detail: &str) -> garde::Error {
    garde::Error::new(format!("{code}: {detail}"))
}

pub fn name(text: &str, (): &()) -> Checked {
    said(values::line(text, values::NAME_MAX))
}

pub fn description(text: &str, (): &()) -> Checked {
    said(values::paragraph(text, values::DESCRIPTION_MAX))
}

pub fn reason(text: &str, (): &()) -> Checked {
    said(values::paragraph(text, values::REASON_MAX))
}

pub fn link(text: &str, (): &()) -> Checked {
    said(values::link(text, values::LINK_MAX))
}

pub fn image_url(text: &str, (): &()) -> Checked {
    said(values::link(text, values::IMAGE_URL_MAX))
}

pub fn phone(text: &str, (): &()) -> Checked {
    said(values::line(text, values::PHONE_MAX))
}

pub fn social(text: &str, (): &()) -> Checked {
    said(values::social(text))
}

pub fn slug(text: &str, (): &()) -> Checked {
    said(Slug::parse(text).map(drop))
}

pub fn email(text: &str, (): &()) -> Checked {
    said(Email::parse(text).map(drop))
}

pub fn language(text: &str, (): &()) -> Checked {
    let detail = "must be a language tag, as en or de-AT";
    if is_tag(text) { Ok(()) } else { Err(fault("invalid", detail)) }
}

pub fn user_id(text: &str, (): &()) -> Checked {
    said(UserId::parse(text).map(drop))
}

/// What a consumer of a feed may be called.
pub const CONSUMER: &str =
    "must be 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or a digit";

pub fn consumer(name: &str, (): &()) -> Checked {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| letter(byte) || matches!(byte, b'.' | b'_' | b'-');
    let good = name.len() <= 64 && name.bytes().next().is_some_and(letter) && name.bytes().all(inner);
    if good { Ok(()) } else { Err(fault("invalid", CONSUMER)) }
}

/// Names of events with commas between, each perhaps with a `*` at its end.
pub fn event_types(text: &str, (): &()) -> Checked {
    let detail = "must be names such as invitation.sent or membership.*, with commas between";
    Types::parse(text).map(drop).ok_or_else(|| fault("invalid", detail))
}

/// A name of events or a family of them, as a webhook asks for them: some event must be called so.
pub fn event_pattern(text: &str, (): &()) -> Checked {
    if !types::is_pattern(text) {
        return Err(fault(
            "invalid",
            "must be a name such as invitation.sent, a family such as membership.*, or *",
        ));
    }
    let known = match text.strip_suffix('*') {
        Some(family) => actions().iter().any(|action| action.starts_with(family)),
        None => actions().contains(text),
    };
    if known { Ok(()) } else { Err(fault("unknown_event", "no event is called so")) }
}

/// Where a webhook may go as far as the address alone tells; whether it may go there is the operator's to say.
pub fn webhook_url(text: &str, (): &()) -> Checked {
    webhook_url::parse(text).map(drop).map_err(|flaw| fault(flaw.code, flaw.detail))
}

pub fn delivery_status(text: &str, (): &()) -> Checked {
    one_of(text, &["pending", "delivered", "failed", "cancelled"])
}

/// A name of events, or a family of them.
pub fn delivery_type(text: &str, (): &()) -> Checked {
    let detail = "must be a name such as invitation.sent or a family such as membership.*";
    if types::is_pattern(text) { Ok(()) } else { Err(fault("invalid", detail)) }
}

/// A built-in role, or what could be the name of one of the workspace's own.
pub fn role(text: &str, (): &()) -> Checked {
    let detail = "must be owner, admin, moderator, member or the name of a role of the workspace's own";
    text.parse::<Role>().map(drop).map_err(|_| fault("unknown_role", detail))
}

pub fn built_in_role(text: &str, (): &()) -> Checked {
    one_of(text, &["owner", "admin", "moderator", "member"])
}

pub fn permission(text: &str, (): &()) -> Checked {
    said(PermissionName::parse(text).map(drop))
}

/// A network as CIDR, or a single address.
pub fn network(text: &str, (): &()) -> Checked {
    let fault = || fault("invalid", "must be a network such as 192.0.2.0/24 or 2001:db8::/48, or an address");
    parse_network(text).map(drop).ok_or_else(fault)
}

/// The network as it is kept: host bits cleared, an address as the network of itself.
pub fn parse_network(text: &str) -> Option<String> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(network.trunc().to_string())
}

pub fn overlap(given: &Lifetime, (): &()) -> Checked {
    match parse_lifetime(&given.0) {
        Some(overlap) if overlap <= MAX_OVERLAP => Ok(()),
        Some(_) => Err(fault("out_of_range", "must be at most 30 days")),
        None => Err(fault("invalid_duration", "must be seconds, or a duration such as 45m, 12h, 7d or P7D")),
    }
}

/// The name of a plan, as the operator's billing calls it.
pub fn plan(text: &str, (): &()) -> Checked {
    said(values::line(text, values::PLAN_MAX))
}

pub fn lifetime(given: &Lifetime, (): &()) -> Checked {
    match parse_lifetime(&given.0) {
        Some(lifetime) if (MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) => Ok(()),
        Some(_) => Err(fault("out_of_range", "must lie between 5 minutes and 90 days")),
        None => Err(fault("invalid_duration", "must be seconds, or a duration such as 45m, 12h, 7d or P7D")),
    }
}

/// A span of time: seconds (`3600`), a number with a unit (`45m`, `12h`, `7d`), or ISO 8601 (`PT12H`, `P7D`).
pub fn parse_lifetime(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) =
        match text.strip_prefix("PT").map(|t| (t, true)).or(text.strip_prefix('P').map(|d| (d, false))) {
            Some((rest, clock)) => {
                let unit = rest.chars().last()?;
                let known = if clock { "SMH" } else { "DW" };
                (rest, known.contains(unit).then(|| unit.to_ascii_lowercase())?)
            }
            None => (text, text.chars().last().filter(char::is_ascii_alphabetic).unwrap_or('s')),
        };
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if number.len() - digits.len() > 1 || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    let unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    Duration::try_seconds(number.checked_mul(unit)?)
}

/// An instant of RFC 3339, whose years have four digits; the database cannot hold all that lies beyond.
pub fn instant(time: &Time, (): &()) -> Checked {
    if (0..=9999).contains(&time.year()) {
        Ok(())
    } else {
        Err(fault("out_of_range", "must lie in the years 0000 to 9999"))
    }
}

/// A moment of the log: a position or an instant.
pub fn as_of(text: &str, (): &()) -> Checked {
    let fault = || fault("invalid", "must be a position of the log or an instant (RFC 3339)");
    Moment::parse(text).map(drop).ok_or_else(fault)
}

pub fn members_status(text: &str, (): &()) -> Checked {
    one_of(text, &["active", "deactivated", "expired"])
}

pub fn invitation_status(text: &str, (): &()) -> Checked {
    one_of(text, &["pending", "accepted", "declined", "revoked", "expired"])
}

pub fn outcome(text: &str, (): &()) -> Checked {
    one_of(text, &["done", "refused"])
}

pub fn actor_type(text: &str, (): &()) -> Checked {
    one_of(text, &["user", "service", "api_key", "system", "unknown"])
}

pub fn export_format(text: &str, (): &()) -> Checked {
    one_of(text, &["ndjson", "csv", "parquet"])
}

pub fn export_include(text: &str, (): &()) -> Checked {
    one_of(text, &["attempts"])
}

fn one_of(text: &str, known: &[&str]) -> Checked {
    if known.contains(&text) {
        Ok(())
    } else {
        Err(fault("unknown_value", &format!("must be one of {}", known.join(", "))))
    }
}

/// A lifetime as it came: a number of seconds or a text; [`lifetime`] tells whether it is one.
#[derive(Debug, Clone, utoipa::ToSchema)]
#[schema(value_type = String, example = "7d")]
pub struct Lifetime(pub String);

impl<'de> serde::Deserialize<'de> for Lifetime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spoken;
        impl serde::de::Visitor<'_> for Spoken {
            type Value = Lifetime;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of seconds or a duration")
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Lifetime, E> {
                Ok(Lifetime(seconds.to_string()))
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Lifetime, E> {
                Ok(Lifetime(seconds.to_string()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Lifetime, E> {
                Ok(Lifetime(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Spoken)
    }
}

impl Lifetime {
    /// The span, or the default where none was given; called on what [`lifetime`] has let through.
    pub fn or_default(given: Option<&Self>) -> Duration {
        given
            .and_then(|given| parse_lifetime(&given.0))
            .unwrap_or(tenure_aggregates::invitation::DEFAULT_LIFETIME)
    }
}
