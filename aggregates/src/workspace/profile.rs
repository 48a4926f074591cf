//! A workspace's profile: what it says of itself, and what changed of that.

use serde::{Deserialize, Serialize};

use crate::event::Changed;
use crate::values::Slug;

/// What a workspace says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
    pub slug: Option<Slug>,
    pub description: Option<String>,
    pub image_url: Option<String>,
    pub website: Option<String>,
    pub phone: Option<String>,
    pub social: Social,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Social {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facebook: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linkedin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instagram: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github: Option<String>,
}

type Text = Option<Changed<Option<String>>>;

/// What changed in a profile, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Changed<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<Changed<Option<Slug>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub social: Option<Changed<Social>>,
}

impl ProfileChange {
    pub(super) fn between(from: &Profile, to: &Profile) -> Option<Self> {
        let change = Self {
            name: Changed::between(from.name.clone(), to.name.clone()),
            slug: Changed::between(from.slug.clone(), to.slug.clone()),
            description: Changed::between(from.description.clone(), to.description.clone()),
            image_url: Changed::between(from.image_url.clone(), to.image_url.clone()),
            website: Changed::between(from.website.clone(), to.website.clone()),
            phone: Changed::between(from.phone.clone(), to.phone.clone()),
            social: Changed::between(from.social.clone(), to.social.clone()),
        };
        (change != Self::default()).then_some(change)
    }
}

impl Profile {
    /// The profile after a change.
    pub fn apply(&mut self, change: ProfileChange) {
        fn set<T>(field: &mut T, change: Option<Changed<T>>) {
            if let Some(change) = change {
                *field = change.to;
            }
        }
        set(&mut self.name, change.name);
        set(&mut self.slug, change.slug);
        set(&mut self.description, change.description);
        set(&mut self.image_url, change.image_url);
        set(&mut self.website, change.website);
        set(&mut self.phone, change.phone);
        set(&mut self.social, change.social);
    }
}
