//! Sample data that every template is tried out with: once with everything there can be, once with as little.

use chrono::DateTime;

use crate::mail::letter::{Contents, Day, Says, Sender};

pub(super) fn all() -> Vec<Contents> {
    let full = Sender {
        name: "Acme".to_owned(),
        initial: "A".to_owned(),
        logo: Some("https://acme.example/logo.png".to_owned()),
    };
    let bare = Sender { name: "Acme".to_owned(), initial: String::new(), logo: None };
    let all = says(true).into_iter().map(|says| Contents { workspace: full.clone(), says });
    let few = says(false).into_iter().map(|says| Contents { workspace: bare.clone(), says });
    all.chain(few).collect()
}

fn says(everything: bool) -> Vec<Says> {
    let text = |text: &str| everything.then(|| text.to_owned());
    let day = || Day::of(DateTime::UNIX_EPOCH);
    vec![
        Says::Invitation {
            inviter: text("Olga"),
            role: "member".to_owned(),
            expires: day(),
            link: "https://acme.example/join?token=tni_sample".to_owned(),
        },
        Says::InvitationRevoked {},
        Says::OwnershipTransferred {
            is_new_owner: everything,
            new_owner: text("Nina"),
            old_owner: text("Olga"),
        },
        Says::MemberRemoved {},
        Says::WorkspaceSuspended { reason: text("An invoice is open."), since: day() },
        Says::WebhookDisabled {
            host: "hooks.example".to_owned(),
            description: text("Billing"),
            because: if everything { "gone" } else { "failing" },
        },
    ]
}
