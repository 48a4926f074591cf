//! How a replay ends: the workspace as it stood, its members, roles and open invitations.

use std::io::Write;

use anstyle::Style;
use serde::Serialize;
use serde_json::json;
use tenure_aggregates::Time;
use tenure_projections::{TenantTx, invitations, members};
use uuid::Uuid;

use super::instant;
use super::words::printable;
use crate::past::resources::Then;
use crate::resources::{Invitation, Member, Role};

/// How many are read, told and forgotten at a time.
const CHUNK: i64 = 500;

pub(super) async fn text(tx: &mut TenantTx, then: Then<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    let Some((_, workspace)) = then.workspace(tx).await? else {
        writeln!(out, "\n{bold}At position {}: there is no such workspace{bold:#}", then.position())?;
        return Ok(());
    };
    let slug = workspace.slug.map(|slug| format!(" ({slug})")).unwrap_or_default();
    let (name, status, owner) = (printable(&workspace.name), workspace.status, workspace.owner_id);
    let seats = workspace.seats;
    writeln!(out, "\n{bold}At position {}: “{name}”{slug}, {status}{bold:#}", then.position())?;
    writeln!(
        out,
        "owned by {owner}; {} of {} seats taken; plan {}",
        seats.used, seats.limit, workspace.plan
    )?;
    writeln!(out, "\n{bold}Members{bold:#}")?;
    let mut page = Pages::default();
    while let Some(chunk) = page.members(tx, then).await? {
        for member in chunk {
            let (email, name) = (member.email.unwrap_or_default(), member.name.unwrap_or_default());
            let (user, role, status) = (member.user_id, member.role, member.status.as_str());
            let line = format!("  {user:<20} {role:<12} {status:<12} {} {email}", printable(&name));
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    let roles = then.roles(tx).await?;
    if !roles.is_empty() {
        writeln!(out, "\n{bold}Roles of its own{bold:#}")?;
    }
    for role in roles {
        writeln!(out, "  {:<20} {}", role.name, role.permissions.join(" "))?;
    }
    writeln!(out, "\n{bold}Open invitations{bold:#}")?;
    let mut page = Pages::default();
    while let Some(chunk) = page.invitations(tx, then).await? {
        for invitation in chunk {
            let end = instant(invitation.expires_at);
            writeln!(out, "  {:<30} {:<12} until {end}", invitation.email, invitation.role)?;
        }
    }
    Ok(())
}

/// One object a line: `{"workspace": …}`, then `{"member": …}`, `{"role": …}` and `{"invitation": …}` each.
pub(super) async fn json(tx: &mut TenantTx, then: Then<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let workspace = then.workspace(tx).await?.map(|(_, workspace)| workspace);
    let there_is_one = workspace.is_some();
    writeln!(out, "{}", json!({"position": then.position(), "workspace": workspace}))?;
    if !there_is_one {
        return Ok(());
    }
    let mut page = Pages::default();
    while let Some(chunk) = page.members(tx, then).await? {
        lines("member", &chunk, out)?;
    }
    let roles: Vec<Role> = then.roles(tx).await?;
    lines("role", &roles, out)?;
    let mut page = Pages::default();
    while let Some(chunk) = page.invitations(tx, then).await? {
        lines("invitation", &chunk, out)?;
    }
    Ok(())
}

fn lines(kind: &str, items: &[impl Serialize], out: &mut impl Write) -> anyhow::Result<()> {
    for item in items {
        writeln!(out, "{}", json!({kind: item}))?;
    }
    Ok(())
}

/// Where a list goes on; none when it is through.
#[derive(Default)]
struct Pages {
    members: Option<(Time, String)>,
    invitations: Option<(Time, Uuid)>,
    through: bool,
}

impl Pages {
    async fn members(&mut self, tx: &mut TenantTx, then: Then<'_>) -> anyhow::Result<Option<Vec<Member>>> {
        if self.through {
            return Ok(None);
        }
        let filter = members::Filter::default();
        let chunk = then.members(tx, &filter, self.members.take(), CHUNK).await?.unwrap_or_default();
        self.members = chunk.last().map(|member| (member.joined_at, member.user_id.clone()));
        self.through = i64::try_from(chunk.len()) != Ok(CHUNK);
        Ok(Some(chunk))
    }

    async fn invitations(
        &mut self,
        tx: &mut TenantTx,
        then: Then<'_>,
    ) -> anyhow::Result<Option<Vec<Invitation>>> {
        if self.through {
            return Ok(None);
        }
        let filter = invitations::Filter { status: Some("pending"), among: None };
        let chunk = then.invitations(tx, &filter, self.invitations.take(), CHUNK).await?.unwrap_or_default();
        self.invitations = chunk.last().map(|invitation| (invitation.created_at, invitation.id));
        self.through = i64::try_from(chunk.len()) != Ok(CHUNK);
        Ok(Some(chunk))
    }
}
