//! The file of [`LocalServer`](super::LocalServer): a redb database with one table.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ledger::Rows;
use super::{LeaseId, Member, ShardId};
use crate::term::check_shape;

/// All that is kept, each value as MessagePack with names.
const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("incarnate authority 1");
/// All of it is in memory anyway.
const CACHE: usize = 4 << 20;
const SETTINGS: &str = "settings";
const TOKEN: &str = "token";
const LIFE: &str = "life";
const RECORD: &str = "record ";

/// Why a file cannot serve. It is as it was.
#[derive(Debug)]
pub(super) struct FileError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Locked,
    Foreign,
    Unreadable(Box<dyn Error + Send + Sync>),
    Unwritten(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            Kind::Locked => write!(f, "{path} is served by another process"),
            Kind::Foreign => {
                write!(f, "{path} holds something else than an authority, and was left as it is")
            }
            Kind::Unreadable(why) => write!(f, "{path} cannot be read as an authority's: {why}"),
            Kind::Unwritten(why) => write!(f, "{path} cannot be written: {why}"),
        }
    }
}

impl Error for FileError {}

impl FileError {
    /// Whether another process has the file, which may be about to end.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self.kind, Kind::Locked)
    }
}

/// An open file, which nobody else can open.
pub(super) struct File {
    path: PathBuf,
    database: Database,
}

impl File {
    /// Opens it, or makes it where there is none, reads all that it holds, and begins another life of its server.
    pub(super) fn open(path: &Path) -> Result<(Self, Rows), FileError> {
        let failed = |kind| FileError { path: path.to_owned(), kind };
        look(path).map_err(failed)?;
        let mut builder = Builder::new();
        let database = builder.set_cache_size(CACHE).set_check_integrity_on_open(true).create(path);
        let database = database.map_err(|error| failed(not_opened(error)))?;
        let is_begun = is_begun(&database).map_err(failed)?;
        let file = File { path: path.to_owned(), database };
        let rows = if is_begun { file.read() } else { file.begin() };
        let mut rows = rows.map_err(|error| failed(Kind::Unreadable(error)))?;
        // This one's number is on the disk before it is used.
        let life = rows.life.unwrap_or_default() + 1;
        file.write(&Rows { life: Some(life), ..Rows::default() })?;
        rows.life = Some(life);
        Ok((file, rows))
    }

    fn begin(&self) -> Result<Rows, Box<dyn Error + Send + Sync>> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        // The name of the file has to be on the disk as well.
        #[cfg(unix)]
        if let Some(folder) = std::path::absolute(&self.path)?.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(Rows::default())
    }

    fn read(&self) -> Result<Rows, Box<dyn Error + Send + Sync>> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut rows = Rows::default();
        for row in table.iter()? {
            let (key, value) = row?;
            let (key, value) = (key.value(), value.value());
            match key.strip_prefix(RECORD) {
                Some(shard) => _ = rows.records.insert(ShardId(shard.parse()?), decode(value)?),
                None if key == SETTINGS => rows.settings = Some(decode(value)?),
                None if key == LIFE => rows.life = Some(decode(value)?),
                None if key == TOKEN => rows.token = Some(decode::<Option<(Member, LeaseId)>>(value)?),
                None => return Err(format!("it holds a row of a newer version, \"{key}\"").into()),
            }
        }
        Ok(rows)
    }

    /// Writes all of it in one step, on the disk when this returns.
    pub(super) fn write(&self, rows: &Rows) -> Result<(), FileError> {
        self.try_write(rows)
            .map_err(|error| FileError { path: self.path.clone(), kind: Kind::Unwritten(error) })
    }

    fn try_write(&self, rows: &Rows) -> Result<(), Box<dyn Error + Send + Sync>> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            if let Some(settings) = rows.settings {
                table.insert(SETTINGS, &*encode(&settings)?)?;
            }
            if let Some(life) = rows.life {
                table.insert(LIFE, &*encode(&life)?)?;
            }
            if let Some(holder) = rows.token {
                table.insert(TOKEN, &*encode(&holder)?)?;
            }
            for (shard, record) in &rows.records {
                table.insert(&*format!("{RECORD}{shard}"), &*encode(record)?)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// Looks at a file, if there is one, without writing to it: it may be somebody else's.
fn look(path: &Path) -> Result<(), Kind> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() == 0 => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Kind::Unreadable(error.into())),
        Ok(_) => {}
    }
    match Builder::new().open_read_only(path) {
        Ok(database) => is_begun(&database).map(|_| ()),
        // It was not closed. Whoever opens it for good puts that right.
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(not_opened(error)),
    }
}

/// Whether the table is there, or nothing yet. Anything else is not ours.
fn is_begun(database: &impl ReadableDatabase) -> Result<bool, Kind> {
    let tables = tables(database).map_err(Kind::Unreadable)?;
    let is_begun = tables.iter().any(|name| name == TABLE.name());
    if is_begun || tables.is_empty() { Ok(is_begun) } else { Err(Kind::Foreign) }
}

fn tables(database: &impl ReadableDatabase) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    Ok(database.begin_read()?.list_tables()?.map(|table| table.name().to_owned()).collect())
}

fn not_opened(error: DatabaseError) -> Kind {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Kind::Locked,
        error => Kind::Unreadable(error.into()),
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(value)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Box<dyn Error + Send + Sync>> {
    check_shape(bytes).map_err(|flaw| format!("a value is damaged: {flaw}"))?;
    Ok(rmp_serde::from_slice(bytes)?)
}
