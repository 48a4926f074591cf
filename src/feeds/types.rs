//! Which events a reader asks for, by what they are called outside.

use tenure_projections::Logged;
use tenure_projections::audit_log::action;

/// How many patterns a reader may give.
pub const MOST: usize = 50;
const LONGEST: usize = 100;

/// Patterns such as `invitation.sent` and `membership.*`; without any, everything is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types(Vec<String>);

impl Types {
    /// Reads a list with commas between.
    pub fn parse(text: &str) -> Option<Self> {
        let patterns: Vec<String> = text.split(',').map(|pattern| pattern.trim().to_owned()).collect();
        (patterns.len() <= MOST && patterns.iter().all(|pattern| is_pattern(pattern)))
            .then_some(Self(patterns))
    }

    pub fn takes(&self, event: &Logged) -> bool {
        if self.0.is_empty() {
            return true;
        }
        self.takes_action(&action(&event.aggregate_type, &event.event_type))
    }

    /// The same for what an event is called outside.
    pub fn takes_action(&self, action: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(family) => action.starts_with(family),
                None => action == pattern,
            })
    }

    pub fn asks_for_all(&self) -> bool {
        self.0.is_empty()
    }
}

/// A name, or the beginning of names.
pub fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    let letter = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.');
    !text.is_empty() && text.len() <= LONGEST && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        for good in ["membership.*", "invitation.sent", "*", "membership.role_changed, workspace.*"] {
            assert!(Types::parse(good).is_some(), "{good}");
        }
        let many = vec!["*"; MOST + 1].join(",");
        for bad in ["", ",", "*.sent", "a,,b", "Membership.*", "membership.**", "a b", many.as_str()] {
            assert_eq!(Types::parse(bad), None, "{bad}");
        }
    }
}
