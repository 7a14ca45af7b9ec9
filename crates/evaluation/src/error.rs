//! What can be wrong with a directory of data.

use std::path::PathBuf;

/// Each says which file, and where it can, which line (the header is line 1) and which column.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    #[error("{file} cannot be read")]
    Unreadable {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{file} is not there, neither plain nor with .gz")]
    Missing { file: PathBuf },
    #[error("{file} has no column {column:?}")]
    Column { file: PathBuf, column: String },
    #[error("{file}, line {line}, column {column:?}: {problem}")]
    Cell { file: PathBuf, line: u64, column: String, problem: String },
    #[error("{file}: {problem}")]
    File { file: PathBuf, problem: String },
    #[error("{0}")]
    Data(String),
    #[error("the model cannot be kept")]
    Unkept(#[from] hunch_learning::life::ArtifactError),
    #[error("{file} cannot be used")]
    Model {
        file: PathBuf,
        #[source]
        source: hunch_learning::life::ArtifactError,
    },
    #[error("{file} cannot be written")]
    Unwritable {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
}
