//! Rows for `COPY … FROM STDIN (FORMAT binary)`: into tables that nobody reads yet, at a fraction of what inserts cost.

use sqlx::PgConnection;
use tenure_aggregates::Time;
use uuid::Uuid;

/// How the format begins: its signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// 2000-01-01, from where PostgreSQL counts microseconds, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// Rows go in pieces of this many bytes, or a row more: one piece for all would be moved again and again as it grows.
const PIECE: usize = 256 * 1024;
/// Most rows are shorter.
const ROW: usize = 4 * 1024;

/// Rows on their way into one table.
pub(crate) struct Rows {
    full: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    columns: i16,
}

impl Rows {
    pub(crate) fn of(columns: i16) -> Self {
        Self { full: vec![], bytes: HEADER.to_vec(), columns }
    }

    /// The next row; its fields follow, in the order of the columns.
    pub(crate) fn row(&mut self) -> &mut Self {
        if self.bytes.len() >= PIECE {
            self.full.push(std::mem::replace(&mut self.bytes, Vec::with_capacity(PIECE + ROW)));
        }
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        // No field of ours comes near this; PostgreSQL would refuse the row.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn maybe(&mut self, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            return self.text(value);
        }
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
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

    /// Into that table, `(and columns)`.
    pub(crate) async fn send(self, conn: &mut PgConnection, table: &str) -> Result<(), sqlx::Error> {
        let Self { full: mut pieces, mut bytes, .. } = self;
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        pieces.push(bytes);
        let mut copy = conn.copy_in_raw(&format!("copy {table} from stdin (format binary)")).await?;
        for piece in pieces {
            if let Err(error) = copy.send(piece).await {
                copy.abort("the rows could not be sent").await?;
                return Err(error);
            }
        }
        copy.finish().await?;
        Ok(())
    }
}
