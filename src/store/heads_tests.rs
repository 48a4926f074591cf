//! Tests of [`super`].

use tenure_aggregates::{Membership, MembershipId, UserId, Workspace};

use super::*;

fn workspace() -> WorkspaceId {
    WorkspaceId(Uuid::from_u128(7))
}

fn member(user: &str) -> StreamKey {
    let user = UserId::parse(user).unwrap();
    StreamKey::of::<Membership>(&MembershipId::of(workspace(), &user).to_string())
}

fn begun_at(heads: &Heads, position: i64) {
    let stream = StreamKey::of::<Workspace>(&workspace().to_string());
    heads.lock().remember_stream(position, stream, 1, None, None);
}

#[test]
fn who_never_joined_a_workspace_is_known_while_all_of_it_is_remembered() {
    let heads = Heads::new();
    assert!(!heads.never_began(workspace(), &member("ada")), "nothing is known of it");
    begun_at(&heads, 1);
    heads.lock().remember_stream(2, member("ada"), 1, None, None);
    assert!(!heads.never_began(workspace(), &member("ada")));
    assert!(heads.never_began(workspace(), &member("bob")));
    heads.restart(9);
    assert!(!heads.never_began(workspace(), &member("bob")), "others may have appended meanwhile");
}

#[test]
fn it_is_not_known_of_a_workspace_of_which_only_what_came_later_is_remembered() {
    let heads = Heads::new();
    let stream = StreamKey::of::<Workspace>(&workspace().to_string());
    heads.lock().remember_stream(2, stream, 2, None, None);
    assert!(!heads.never_began(workspace(), &member("bob")));
}

#[test]
fn it_is_known_no_longer_than_the_beginning_is_remembered() {
    let heads = Heads::new();
    begun_at(&heads, 1);
    let stream = StreamKey::of::<Workspace>(&workspace().to_string());
    heads.lock().remember_stream(2, stream, 2, None, None);
    let others = |to: i64| {
        let mut inner = heads.lock();
        for position in 3..=to {
            let key = KeyId { workspace: Uuid::nil(), digest: Uuid::nil() };
            inner.remember_key(position, key);
        }
    };
    let remembered = i64::try_from(REMEMBERED).unwrap();
    others(remembered);
    assert!(heads.never_began(workspace(), &member("bob")));
    others(remembered + 1);
    assert!(!heads.never_began(workspace(), &member("bob")), "its first event is behind the horizon");
    assert!(heads.lock().begun.is_empty());
}

#[test]
fn the_log_moves_where_something_was_appended_or_is_about_to_be() {
    let heads = Heads::new();
    heads.restart(4);
    assert!(!heads.is_moving_since(4));
    assert!(heads.is_moving_since(3));
    let state = CachedState::of(Arc::new(Workspace::default()), 1, Some(workspace()));
    let stream = StreamKey::of::<Workspace>(&workspace().to_string());
    heads.foresee(1, std::iter::once((stream.clone(), state)));
    assert!(heads.is_moving_since(4));
    heads.foresee_no_longer(1, &[stream]);
    assert!(!heads.is_moving_since(4));
}
