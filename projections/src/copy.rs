//! Rows for `COPY … FROM STDIN (FORMAT binary)`: into tables that nobody reads yet, at a fraction of what inserts cost.

use sqlx::PgConnection;
use sqlx::postgres::PgCopyIn;
use tenure_aggregates::Time;
use uuid::Uuid;

/// How the format begins: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// 2000-01-01, from where PostgreSQL counts microseconds, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// Rows go in pieces of this many bytes, or a row more.
const PIECE: usize = 256 * 1024;
/// Most rows are shorter.
const ROW: usize = 4 * 1024;

/// A row into `table`, `(and columns)`, of each item, as `fields` writes it: `columns` many, in their order. PostgreSQL
/// works on a piece while the next one is written.
pub(crate) async fn copy<T>(
    conn: &mut PgConnection,
    table: &str,
    columns: i16,
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    fields: impl FnMut(&mut Row, T) -> Result<(), sqlx::Error> + Send,
) -> Result<(), sqlx::Error> {
    let mut copy = conn.copy_in_raw(&format!("copy {table} from stdin (format binary)")).await?;
    if let Err(error) = send(&mut copy, columns, items.into_iter(), fields).await {
        copy.abort("the rows could not be sent").await?;
        return Err(error);
    }
    copy.finish().await?;
    Ok(())
}

async fn send<T>(
    copy: &mut PgCopyIn<&mut PgConnection>,
    columns: i16,
    items: impl Iterator<Item = T>,
    mut fields: impl FnMut(&mut Row, T) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    let mut piece = Row(Vec::with_capacity(PIECE + ROW));
    piece.0.extend_from_slice(HEADER);
    for item in items {
        piece.0.extend_from_slice(&columns.to_be_bytes());
        fields(&mut piece, item)?;
        if piece.0.len() >= PIECE {
            copy.send(piece.0.as_slice()).await?;
            piece.0.clear();
        }
    }
    piece.0.extend_from_slice(&(-1_i16).to_be_bytes());
    copy.send(piece.0).await.map(drop)
}

/// A row being written.
pub(crate) struct Row(Vec<u8>);

impl Row {
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        // No field of ours comes near this; PostgreSQL would refuse the row.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn maybe(&mut self, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            return self.text(value);
        }
        self.0.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    pub(crate) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn number(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.bytes(&[u8::from(value)])
    }

    pub(crate) fn time(&mut self, value: Time) -> &mut Self {
        self.number(value.timestamp_micros() - EPOCH)
    }

    /// `jsonb`, in the first version of its binary form.
    pub(crate) fn jsonb(&mut self, text: &str) -> &mut Self {
        self.bytes(format!("\u{1}{text}").as_bytes())
    }
}
