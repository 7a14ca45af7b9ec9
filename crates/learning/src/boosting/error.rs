//! Why a model of trees cannot be fitted or used.

/// What the caller can correct. Rows and columns count from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BoostError {
    #[error("column {column} has {found} rows, {expected} are needed")]
    Rows { column: usize, expected: usize, found: usize },
    #[error("column {column}, row {row}: an infinite number is not a feature")]
    Infinite { column: usize, row: usize },
    #[error("there are no rows, no columns or no weight to learn from")]
    Empty,
    #[error("there are {found} columns, the most is {most}")]
    TooWide { found: usize, most: usize },
    #[error("{found} columns are given, {expected} are needed")]
    Width { expected: usize, found: usize },
    #[error("{what} has {found} entries, {expected} are needed")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error("{what}, row {row}: {problem}")]
    Value { what: &'static str, row: usize, problem: &'static str },
    #[error("setting {name}: {problem}")]
    Setting { name: &'static str, problem: &'static str },
    #[error("the pairwise loss needs groups")]
    NoGroups,
    #[error("the stored model is damaged: {0}")]
    Stored(&'static str),
}
