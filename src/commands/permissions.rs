//! Registering and withdrawing the permissions of products.

use std::collections::BTreeSet;

use tenure_aggregates::catalogue::{CatalogueCommand, Refusal};
use tenure_aggregates::{Catalogue, PermissionName, Role};

use super::Precondition;
use super::authorize::require_service;
use crate::resources::{self, Answer};
use crate::store::retry::Command;
use crate::store::{Committed, Failure, UnitOfWork};

/// Registers a product's permission, or brings it to what is given.
#[derive(Debug, Clone)]
pub struct RegisterPermission {
    pub permission: PermissionName,
    pub description: Option<String>,
    pub granted_to: BTreeSet<Role>,
    pub precondition: Precondition,
}

impl Command for RegisterPermission {
    const NAME: &'static str = "RegisterPermission";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        require_service(&unit)?;
        let (home, stream) = (Catalogue::home(), Catalogue::home().to_string());
        let before = unit.load::<Catalogue>(home, &stream).await?;
        self.precondition.check::<Catalogue>(&unit, &stream)?;
        let register = CatalogueCommand::Register {
            permission: self.permission.clone(),
            description: self.description.clone(),
            granted_to: self.granted_to.clone(),
        };
        let after = unit.execute::<Catalogue>(home, &stream, register).await?;
        let entry = after.entry(&self.permission).ok_or(Refusal::NotFound)?;
        let body = resources::PermissionEntry::product(&self.permission, entry);
        let status = if before.knows(&self.permission) { 200 } else { 201 };
        let answer = Answer::of(status, unit.sequence_of::<Catalogue>(&stream), &body)?;
        unit.commit(answer.to_text()?).await
    }
}

/// Withdraws a product's permission: from then on nobody holds it, whatever roles and keys say.
#[derive(Debug, Clone)]
pub struct WithdrawPermission {
    pub permission: PermissionName,
    pub precondition: Precondition,
}

impl Command for WithdrawPermission {
    const NAME: &'static str = "WithdrawPermission";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        require_service(&unit)?;
        let (home, stream) = (Catalogue::home(), Catalogue::home().to_string());
        unit.load::<Catalogue>(home, &stream).await?;
        self.precondition.check::<Catalogue>(&unit, &stream)?;
        let withdraw = CatalogueCommand::Withdraw { permission: self.permission.clone() };
        unit.execute::<Catalogue>(home, &stream, withdraw).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}
