//! Tables in and out: CSV, plain or `.gz`, with errors that name file, line and column.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::EvaluateError;

/// `name` in `folder`, or `name.gz` if that is what is there.
pub fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The names of the files in `folder` that end in `.extension` or `.extension.gz`, without the `.gz`, sorted.
///
/// # Errors
/// `Unreadable` for the folder, `Data` for a file that is there plain and packed.
pub fn names(folder: &Path, extension: &str) -> Result<Vec<String>, EvaluateError> {
    let unreadable = |source| EvaluateError::Unreadable { file: folder.to_owned(), source };
    let ending = format!(".{extension}");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(".gz").unwrap_or(&name).to_owned();
        if name.ends_with(&ending) && find(folder, &name).is_some() {
            names.push(name);
        }
    }
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(EvaluateError::Data(format!("{} is there plain and with .gz", twice[0]))),
        None => Ok(names),
    }
}

/// A JSON file, such as `task.json`.
///
/// # Errors
/// `Missing`, `Unreadable`, or `File` with what the reader of JSON says.
pub fn json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, EvaluateError> {
    let file = find(folder, name).ok_or_else(|| EvaluateError::Missing { file: folder.join(name) })?;
    let text = reader(&file).and_then(io::read_to_string);
    let text = text.map_err(|source| EvaluateError::Unreadable { file: file.clone(), source })?;
    serde_json::from_str(&text).map_err(|e| EvaluateError::File { file, problem: e.to_string() })
}

fn reader(file: &Path) -> io::Result<Box<dyn Read>> {
    let open = BufReader::with_capacity(1 << 16, File::open(file)?);
    let packed = file.extension().is_some_and(|extension| extension == "gz");
    Ok(if packed { Box::new(MultiGzDecoder::new(open)) } else { Box::new(open) })
}

/// A CSV file with a header, read row by row.
pub struct Table {
    file: PathBuf,
    header: Vec<String>,
    rows: csv::Reader<Box<dyn Read>>,
    row: csv::StringRecord,
    line: u64,
}

/// Numbers beyond this are a fault in data: sums of their squares would leave the range of what can be computed.
pub const NUMBER_MAX: f64 = 1e30;

/// Where a column stands in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column(usize);

impl Table {
    /// `name` or `name.gz` in `folder`.
    ///
    /// # Errors
    /// `Missing`, `Unreadable`; `File` for an empty file or a header that names a column twice.
    pub fn open(folder: &Path, name: &str) -> Result<Table, EvaluateError> {
        let file = find(folder, name).ok_or_else(|| EvaluateError::Missing { file: folder.join(name) })?;
        let bytes = reader(&file).map_err(|source| EvaluateError::Unreadable { file: file.clone(), source })?;
        let mut rows = csv::ReaderBuilder::new().from_reader(bytes);
        let wrong = |problem: String| EvaluateError::File { file: file.clone(), problem };
        let mut header: Vec<String> = rows
            .headers()
            .map_err(|e| wrong(e.to_string()))?
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        if header.iter().all(String::is_empty) {
            return Err(wrong("it is empty".to_owned()));
        }
        // Tables are often written with their rows' numbers under no name.
        for (i, nameless) in header.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
            *nameless = format!("column {}", i + 1);
        }
        if let Some(twice) = header.iter().enumerate().find(|(i, name)| header[..*i].contains(name)) {
            return Err(wrong(format!("the header names {:?} twice", twice.1)));
        }
        Ok(Table { file, header, rows, row: csv::StringRecord::new(), line: 1 })
    }

    pub fn file(&self) -> &Path {
        &self.file
    }

    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// # Errors
    /// `Column` if the header does not name it.
    pub fn column(&self, name: &str) -> Result<Column, EvaluateError> {
        self.column_if_any(name)
            .ok_or_else(|| EvaluateError::Column { file: self.file.clone(), column: name.to_owned() })
    }

    pub fn column_if_any(&self, name: &str) -> Option<Column> {
        self.header.iter().position(|column| column == name).map(Column)
    }

    /// Goes to the next row; false at the end.
    ///
    /// # Errors
    /// `File` for a row with more or fewer fields than the header, or one that is not UTF-8, with its line.
    pub fn next_row(&mut self) -> Result<bool, EvaluateError> {
        let more = self.rows.read_record(&mut self.row);
        let more = more.map_err(|e| EvaluateError::File { file: self.file.clone(), problem: e.to_string() })?;
        self.line = self.row.position().map_or(self.line, csv::Position::line);
        Ok(more)
    }

    /// Of the row last read; the header is line 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    pub fn text(&self, column: Column) -> &str {
        self.row.get(column.0).unwrap_or_default().trim()
    }

    /// # Errors
    /// `Cell` for what is not a finite number of usual size.
    pub fn number(&self, column: Column) -> Result<f64, EvaluateError> {
        self.number_if_any(column)?.ok_or_else(|| self.wrong(column, "a number is needed here"))
    }

    /// None for an empty field.
    ///
    /// # Errors
    /// `Cell` for what is not a finite number of usual size.
    pub fn number_if_any(&self, column: Column) -> Result<Option<f64>, EvaluateError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse::<f64>().map_err(|_| self.wrong(column, &format!("{text:?} is not a number")))?;
        match number.abs() {
            size if size <= NUMBER_MAX => Ok(Some(number)),
            size if size.is_finite() => Err(self.wrong(column, &format!("{text} is more than can be reckoned with"))),
            _ => Err(self.wrong(column, &format!("{text} is not finite"))),
        }
    }

    /// # Errors
    /// `Cell` for what is not a whole number that fits.
    pub fn whole<T: std::str::FromStr>(&self, column: Column) -> Result<T, EvaluateError> {
        let text = self.text(column);
        text.parse().map_err(|_| self.wrong(column, &format!("{text:?} is not a whole number that can be used here")))
    }

    /// The error that tells of this row's `column`.
    pub fn wrong(&self, column: Column, problem: &str) -> EvaluateError {
        EvaluateError::Cell {
            file: self.file.clone(),
            line: self.line,
            column: self.header.get(column.0).cloned().unwrap_or_default(),
            problem: problem.to_owned(),
        }
    }
}

/// A name from the input as a field of the output: quoted where it would end the field or the row (RFC 4180).
pub struct Field<'a>(pub &'a str);

impl std::fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.contains([',', '"', '\n', '\r']) {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        } else {
            f.write_str(self.0)
        }
    }
}

/// The file of predictions: written beside its place and moved there when it is whole.
pub struct Predictions {
    file: PathBuf,
    unfinished: Unfinished,
    rows: BufWriter<File>,
}

/// A file beside its place. It is moved there or taken away.
pub(crate) struct Unfinished {
    path: PathBuf,
    kept: bool,
}

impl Unfinished {
    /// The name beside `file`; nothing is made.
    pub fn beside(file: &Path) -> Unfinished {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        Unfinished { path: file.with_file_name(name), kept: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// What the file system says; then the file of before, if any, is still there.
    pub fn move_to(mut self, file: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, file)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    /// Half an answer must not be taken for one.
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Predictions {
    /// # Errors
    /// `Unwritable`.
    pub fn create(file: &Path, header: &[&str]) -> Result<Predictions, EvaluateError> {
        let unfinished = Unfinished::beside(file);
        let unwritable = |source| EvaluateError::Unwritable { file: file.to_owned(), source };
        let mut rows = BufWriter::with_capacity(1 << 16, File::create(unfinished.path()).map_err(unwritable)?);
        writeln!(rows, "{}", header.join(",")).map_err(unwritable)?;
        Ok(Predictions { file: file.to_owned(), unfinished, rows })
    }

    /// One row; `row` is what stands between line breaks, its numbers finite and its names each a [`Field`].
    ///
    /// # Errors
    /// `Unwritable`.
    pub fn row(&mut self, row: std::fmt::Arguments<'_>) -> Result<(), EvaluateError> {
        let written = self.rows.write_fmt(row).and_then(|()| self.rows.write_all(b"\n"));
        written.map_err(|source| EvaluateError::Unwritable { file: self.file.clone(), source })
    }

    /// # Errors
    /// `Unwritable`; then the file of before, if any, is still there.
    pub fn finish(self) -> Result<(), EvaluateError> {
        let Predictions { file, unfinished, mut rows } = self;
        let done = rows.flush().and_then(|()| unfinished.move_to(&file));
        done.map_err(|source| EvaluateError::Unwritable { file, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (tempfile::TempDir, Result<Table, EvaluateError>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), text).unwrap();
        let table = Table::open(folder.path(), "a.csv");
        (folder, table)
    }

    #[test]
    fn what_is_wrong_is_told_with_file_line_and_column() {
        let (_folder, table) = table("x,y\n1,2\n3,inf\n4\n");
        let mut table = table.unwrap();
        let y = table.column("y").unwrap();
        assert!(table.column("z").unwrap_err().to_string().contains("no column \"z\""));
        assert!(table.next_row().unwrap());
        assert_eq!(table.number(y).unwrap(), 2.0);
        assert!(table.next_row().unwrap());
        let told = table.number(y).unwrap_err().to_string();
        assert!(told.contains("a.csv, line 3, column \"y\": inf is not finite"), "{told}");
        assert!(table.next_row().unwrap_err().to_string().contains("line: 4"));
    }

    #[test]
    fn nameless_columns_are_told_by_their_place() {
        let (_folder, table) = table("x,,\n1,a,b\n");
        let mut table = table.unwrap();
        assert!(table.next_row().unwrap());
        let third = table.column("column 3").unwrap();
        let told = table.number(third).unwrap_err().to_string();
        assert!(told.contains("a.csv, line 2, column \"column 3\""), "{told}");
    }

    #[test]
    fn a_doubled_column_and_an_empty_file_are_refused() {
        assert!(table("x,x\n").1.err().unwrap().to_string().contains("twice"));
        assert!(table("").1.err().unwrap().to_string().contains("empty"));
    }

    #[test]
    fn packed_files_are_read_as_plain_ones() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("b.csv.gz")).unwrap();
        let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packed.write_all(b"n\n7\n").unwrap();
        packed.finish().unwrap();
        let mut table = Table::open(folder.path(), "b.csv").unwrap();
        assert!(table.next_row().unwrap());
        assert_eq!(table.whole::<u32>(table.column("n").unwrap()).unwrap(), 7);
        assert!(!table.next_row().unwrap());
    }

    #[test]
    fn predictions_appear_when_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.csv");
        let mut out = Predictions::create(&file, &["row", "score"]).unwrap();
        out.row(format_args!("0,{}", 0.5)).unwrap();
        assert!(!file.exists());
        out.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "row,score\n0,0.5\n");
    }

    #[test]
    fn predictions_that_are_not_finished_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.csv");
        std::fs::write(&file, "of before").unwrap();
        let mut out = Predictions::create(&file, &["row", "score"]).unwrap();
        out.row(format_args!("0,{}", 0.5)).unwrap();
        drop(out);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["out.csv"]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "of before");
    }
}
