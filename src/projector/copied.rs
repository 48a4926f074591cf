//! The log as `COPY` gives it: for who reads much of it, at a fraction of what a query costs per row.

use bytes::{Buf, BytesMut};
use futures::TryStreamExt;
use sqlx::PgConnection;
use tenure_aggregates::Time;
use tenure_projections::Logged;
use uuid::Uuid;

/// How the binary format begins; flags and the length of an extension follow, 4 bytes each.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// How many columns are copied.
const COLUMNS: i16 = 11;
/// 2000-01-01, from where PostgreSQL counts microseconds, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// Rows of the log as they were copied: decoded, they borrow from here.
#[derive(Debug)]
pub(super) struct Copied {
    bytes: BytesMut,
    positions: Vec<i64>,
}

/// The rows after a position, up to another at most, in order; there may be holes between them.
pub(super) async fn copy(conn: &mut PgConnection, after: i64, to: i64) -> Result<Copied, sqlx::Error> {
    let statement = format!(
        "copy (select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, payload, metadata, recorded_at
               from events where position > {after} and position <= {to} order by position)
         to stdout (format binary)"
    );
    let mut bytes = BytesMut::new();
    let mut chunks = conn.copy_out_raw(&statement).await?;
    while let Some(chunk) = chunks.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    drop(chunks);
    Copied::new(bytes).ok_or_else(strange)
}

fn strange() -> sqlx::Error {
    sqlx::Error::Decode("the log was not copied as expected".into())
}

impl Copied {
    fn new(bytes: BytesMut) -> Option<Self> {
        let positions = each(&bytes, |rest| {
            let position = number(rest)?;
            (1..COLUMNS).try_for_each(|_| field(rest).map(drop))?;
            Some(position)
        });
        Some(Self { positions: positions?, bytes })
    }

    pub(super) fn positions(&self) -> &[i64] {
        &self.positions
    }

    pub(super) fn rows(&self) -> Result<Vec<Logged<&str>>, sqlx::Error> {
        each(&self.bytes, row).ok_or_else(strange)
    }
}

fn each<'a, T>(copied: &'a [u8], read: impl Fn(&mut &'a [u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut rest = copied.strip_prefix(SIGNATURE)?;
    let (_flags, extension) = (rest.try_get_i32().ok()?, rest.try_get_i32().ok()?);
    rest = rest.get(usize::try_from(extension).ok()?..)?;
    let mut rows = Vec::new();
    loop {
        match rest.try_get_i16().ok()? {
            COLUMNS => rows.push(read(&mut rest)?),
            -1 => return Some(rows),
            _ => return None,
        }
    }
}

fn row<'a>(rest: &mut &'a [u8]) -> Option<Logged<&'a str>> {
    Some(Logged {
        position: number(rest)?,
        workspace_id: Uuid::from_slice(field(rest)?).ok()?,
        workspace_seq: number(rest)?,
        aggregate_type: text(rest)?,
        aggregate_id: text(rest)?,
        sequence: number(rest)?,
        event_type: text(rest)?,
        event_version: text(rest)?,
        payload: text(rest)?,
        metadata: text(rest)?,
        recorded_at: Time::from_timestamp_micros(number(rest)?.checked_add(EPOCH)?)?,
    })
}

/// The bytes of the next column, which is never null.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    let (field, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

fn number(rest: &mut &[u8]) -> Option<i64> {
    field(rest)?.try_into().ok().map(i64::from_be_bytes)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(field(rest)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0; 8]);
        bytes.extend(COLUMNS.to_be_bytes());
        let workspace = Uuid::from_u128(1);
        let columns: [&[u8]; 11] = [
            &7_i64.to_be_bytes(),
            workspace.as_bytes(),
            &3_i64.to_be_bytes(),
            b"User",
            b"ada",
            &2_i64.to_be_bytes(),
            b"UserErased",
            b"1",
            br#"{"type":"UserErased","user_id":"ada"}"#,
            b"{}",
            &1_i64.to_be_bytes(),
        ];
        for column in columns {
            bytes.extend(i32::try_from(column.len()).unwrap().to_be_bytes());
            bytes.extend(column);
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    #[test]
    fn a_row_is_read_as_it_was_copied() {
        let copied = Copied::new(copied().as_slice().into()).unwrap();
        assert_eq!(copied.positions(), [7]);
        let rows = copied.rows().unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.position, row.workspace_seq, row.sequence), (7, 3, 2));
        assert_eq!((row.workspace_id, row.aggregate_id), (Uuid::from_u128(1), "ada"));
        assert_eq!(row.recorded_at.to_rfc3339(), "2000-01-01T00:00:00.000001+00:00");
        assert_eq!(row.payload, r#"{"type":"UserErased","user_id":"ada"}"#);
    }

    #[test]
    fn what_is_cut_off_or_of_another_shape_is_refused() {
        let whole = copied();
        for end in 0..whole.len() {
            assert!(Copied::new(whole[..end].into()).is_none(), "{end}");
        }
        let mut other = whole.clone();
        other[SIGNATURE.len() + 9] += 1;
        assert!(Copied::new(other.as_slice().into()).is_none());
        let mut other = whole;
        *other.iter_mut().rfind(|byte| **byte == b'{').unwrap() = 0xff;
        assert!(Copied::new(other.as_slice().into()).unwrap().rows().is_err());
    }
}
