//! Apache Parquet: lines gathered into row groups, each written as soon as it is full.

use std::fmt;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::columns::{COLUMNS, Cell, Kind, cells};
use super::{Line, internal};
use crate::store::StoreError;

/// A row group is written once it has so many rows, or so many bytes of text.
const ROWS: usize = 5_000;
const BYTES: usize = 8 << 20;

type Row = [Cell; COLUMNS.len()];

/// A file in the making, and the rows of its next group.
pub struct Groups {
    file: SerializedFileWriter<Vec<u8>>,
    rows: Vec<Row>,
    bytes: usize,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Groups {
    pub(super) fn new() -> Result<Self, StoreError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            // What is kept until the end of the file must not grow with every page.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by("tenure".to_owned())
            .build();
        let file = SerializedFileWriter::new(Vec::new(), schema()?, Arc::new(properties));
        Ok(Self { file: file.map_err(internal)?, rows: Vec::new(), bytes: 0 })
    }

    /// The bytes that are complete by then: none, as long as the group is not full.
    pub(super) fn add(&mut self, lines: Vec<Line>) -> Result<Vec<u8>, StoreError> {
        for line in lines {
            let row = cells(line.entry);
            self.bytes += row.iter().map(size).sum::<usize>();
            self.rows.push(row);
            if self.rows.len() >= ROWS || self.bytes >= BYTES {
                self.write_group()?;
            }
        }
        self.file.flush().map_err(internal)?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    pub(super) fn end(mut self) -> Result<Vec<u8>, StoreError> {
        self.write_group()?;
        self.file.into_inner().map_err(internal)
    }

    fn write_group(&mut self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(internal)?;
        let mut at = 0;
        while let Some(mut column) = group.next_column().map_err(internal)? {
            match COLUMNS[at].1 {
                Kind::Text => {
                    let (texts, present) = texts(&rows, at);
                    let writer = column.typed::<ByteArrayType>();
                    writer.write_batch(&texts, Some(&present), None).map_err(internal)?;
                }
                Kind::Number | Kind::Time => {
                    let (numbers, present) = numbers(&rows, at);
                    let writer = column.typed::<Int64Type>();
                    writer.write_batch(&numbers, Some(&present), None).map_err(internal)?;
                }
            }
            column.close().map_err(internal)?;
            at += 1;
        }
        group.close().map_err(internal)?;
        Ok(())
    }
}

/// The values that there are, and for each row whether it has one.
fn texts(rows: &[Row], at: usize) -> (Vec<ByteArray>, Vec<i16>) {
    let text = |row: &Row| match &row[at] {
        Cell::Text(Some(text)) => Some(ByteArray::from(text.as_str())),
        _ => None,
    };
    (rows.iter().filter_map(text).collect(), rows.iter().map(|row| i16::from(text(row).is_some())).collect())
}

fn numbers(rows: &[Row], at: usize) -> (Vec<i64>, Vec<i16>) {
    let number = |row: &Row| match &row[at] {
        Cell::Number(number) => *number,
        Cell::Time(time) => Some(time.timestamp_micros()),
        Cell::Text(_) => None,
    };
    (
        rows.iter().filter_map(number).collect(),
        rows.iter().map(|row| i16::from(number(row).is_some())).collect(),
    )
}

fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) => text.as_ref().map_or(0, String::len),
        Cell::Number(_) | Cell::Time(_) => 8,
    }
}

fn schema() -> Result<TypePtr, StoreError> {
    let mut fields = Vec::with_capacity(COLUMNS.len());
    for (name, kind) in COLUMNS {
        let (physical, logical) = match kind {
            Kind::Number => (Physical::INT64, None),
            Kind::Time => {
                let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
                (Physical::INT64, Some(micros))
            }
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build();
        fields.push(Arc::new(field.map_err(internal)?));
    }
    let schema = Type::group_type_builder("audit_log").with_fields(fields).build();
    Ok(Arc::new(schema.map_err(internal)?))
}
