//! What a permission is called, and which ones only look.

use std::collections::HashSet;

use proptest::prelude::*;
use tenure_aggregates::permission::reads;
use tenure_aggregates::{Permission, PermissionName};

use crate::permission;

// ---- Tenure's own

#[test]
fn a_permission_has_one_name_everywhere() {
    for permission in Permission::catalogue() {
        let name = permission.as_str();
        assert_eq!(serde_json::to_value(permission).unwrap(), name);
        assert_eq!(serde_json::from_value::<Permission>(name.into()).unwrap(), permission);
        assert_eq!(permission.to_string(), name);
        assert_eq!(name.parse::<Permission>().unwrap(), permission);
        assert_eq!(PermissionName::from(permission).as_str(), name);
        assert_eq!(PermissionName::parse(name).unwrap().built_in(), Some(permission));
    }
}

#[test]
fn no_two_permissions_share_a_name() {
    let names: HashSet<_> = Permission::catalogue().map(Permission::as_str).collect();
    assert_eq!(names.len(), Permission::catalogue().count());
}

// ---- names

#[test]
fn the_name_of_a_permission_is_a_module_and_a_verb() {
    for name in ["reports:export", "a:b", "crm.deals:bulk-edit_2", "reports:read"] {
        let parsed = PermissionName::parse(name).unwrap();
        assert_eq!((parsed.as_str(), parsed.built_in()), (name, None));
        assert_eq!(serde_json::to_value(&parsed).unwrap(), name);
        assert_eq!(serde_json::from_value::<PermissionName>(name.into()).unwrap(), parsed);
    }
}

#[test]
fn anything_else_is_no_name_of_a_permission() {
    for wrong in [
        "",
        ":",
        "reports",
        "reports:",
        ":export",
        "reports:export:all",
        "Reports:export",
        "reports:Export",
        "reports :export",
        " reports:export",
        "reports:export\n",
        "1reports:export",
        "reports:1",
        "-a:b",
        "a:-b",
        "*",
        "reports:*",
        "*:read",
        "a,b:c",
        "rapport:\u{e9}dition",
        "a:b\0",
    ] {
        assert_eq!(PermissionName::parse(wrong).unwrap_err().code, "invalid", "{wrong:?}");
        assert!(serde_json::from_value::<PermissionName>(wrong.into()).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_name_of_a_permission_has_at_most_64_characters() {
    let of = |length: usize| format!("a:{}", "b".repeat(length - 2));
    assert!(PermissionName::parse(&of(64)).is_ok());
    assert_eq!(PermissionName::parse(&of(65)).unwrap_err().code, "too_long");
}

// What Tenure comes to check later must not be in a product's hands by then.
#[test]
fn the_modules_of_tenures_own_permissions_are_reserved() {
    for permission in Permission::catalogue() {
        assert!(PermissionName::from(permission).is_reserved(), "{permission}");
    }
    for name in ["members:impersonate", "workspace:anything", "api-keys:read", "audit:write"] {
        assert!(permission(name).is_reserved(), "{name}");
    }
    for name in ["reports:export", "member:invite", "workspaces:read", "members.x:read", "api-key:manage"] {
        assert!(!permission(name).is_reserved(), "{name}");
    }
}

// ---- reading and changing

#[test]
fn a_permission_reads_when_its_verb_is_read_and_nothing_else() {
    let reading: Vec<_> =
        Permission::catalogue().map(Permission::as_str).filter(|name| reads(name)).collect();
    assert_eq!(
        reading,
        ["workspace:read", "members:read", "audit:read", "billing:read", "projects:read", "content:read"]
    );
    assert!(reads("reports:read"));
    for changing in
        ["reports:export", "reports:read-write", "reports:read.all", "reports:bulk-read", "read:all"]
    {
        assert!(!reads(changing), "{changing}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_for_a_name_has_one_module_and_one_verb_in_plain_letters(text in "\\PC{0,70}|[a-z:._-]{0,70}") {
        if let Ok(name) = PermissionName::parse(&text) {
            prop_assert_eq!(name.as_str(), text.as_str());
            prop_assert_eq!(text.matches(':').count(), 1);
            prop_assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ":-_.".contains(c)));
        }
    }
}
