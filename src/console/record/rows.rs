//! Tables whose keys are not texts, as lists of their rows (JSON knows only texts as keys).

use crate::domain::feed::{Row, Table};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The rows, in order.
///
/// # Errors
/// As the serializer's.
pub fn serialize<R: Row + Serialize, S: Serializer>(table: &Table<R>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(table.values())
}

/// The table of listed rows.
///
/// # Errors
/// As the deserializer's.
pub fn deserialize<'de, R, D>(from: D) -> Result<Table<R>, D::Error>
where
    R: Row + Deserialize<'de>,
    D: Deserializer<'de>,
{
    let rows: Vec<R> = Vec::deserialize(from)?;
    Ok(rows.into_iter().map(|row| (row.key(), row)).collect())
}
