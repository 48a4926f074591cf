//! The mails there are. A kind is the name of its templates, and of its deliveries.

use strum::{Display, EnumIter, EnumString, IntoStaticStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumIter, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// To the invited address.
    Invitation,
    /// To the invited address, if it has the invitation.
    InvitationRevoked,
    /// To the new owner and to the old one.
    OwnershipTransferred,
    /// To whoever was removed.
    MemberRemoved,
    /// To the owner.
    WorkspaceSuspended,
    /// To owner and admins.
    WebhookDisabled,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What the developer's mailbox calls it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::InvitationRevoked => "invitation taken back",
            Self::OwnershipTransferred => "ownership handed over",
            Self::MemberRemoved => "member removed",
            Self::WorkspaceSuspended => "workspace suspended",
            Self::WebhookDisabled => "webhook disabled",
        }
    }
}
