//! Opening a store's file: whose it is, who may write it, whether it is whole, and its schema's version.
//!
//! A new file is made beside its path and renamed when it is whole, so a file that exists is never a beginning. A file
//! that isn't muster's is refused before anything is written to it.

use super::digest;
use super::fault::{Fault, Moment};
use super::schema::{JOURNAL, LEDGER, Schema, version_of};
use crate::error::{StoreError, Written};
use backon::{BlockingRetryable, ConstantBuilder};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the engine waits for a lock that a program outside of muster holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a file's lock is tried again before another process is said to use it.
const LOCK_TRIES_MAX: usize = 10;

/// How long each try waits for the next.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Prepared statements kept by each connection.
const STATEMENTS_KEPT: usize = 32;

/// Only the owner may read it: definitions can hold secrets.
const FILE_MODE: u32 = 0o600;

/// A file open for writing.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// Held as long as the file is open for writing.
    pub(super) lock: File,
    /// The newest sequence number of its history.
    pub(super) newest: u64,
}

/// Opens a file for writing, made new where there is none.
pub(super) fn open(path: &Path, schema: &Schema) -> Result<Opened, StoreError> {
    let path = resolve(path)?;
    let lock = lock(&path)?;
    match std::fs::metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => create(&path, schema)?,
        Err(error) => return Err(file_error(&path, "looking at it", error)),
    }
    // Read-only first, so that a foreign file is left as it is.
    identify(&open_reader(&path)?, &path, schema)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let at = |fault: Fault| fault.at(&path, Moment::BeforeCommit);
    let mut connection = Connection::open_with_flags(&path, flags).map_err(|error| at(error.into()))?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(|error| at(error.into()))? {
        return Err(StoreError::ReadOnly { found: "the system lets it be read only".to_owned(), path });
    }
    let newest = prepare_for_writing(&mut connection, schema, &path)?;
    Ok(Opened { path, connection, lock, newest })
}

/// One more connection for reading to a file that is open for writing.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, Fault> {
        let connection = Connection::open_with_flags(path, flags)?;
        common(&connection)?;
        Ok(connection)
    };
    open().map_err(|fault| fault.at(path, Moment::BeforeCommit))
}

/// Opens a file for reading alone, also one that nobody has open and whose last writer was killed. Changes nothing
/// in it. Returns the newest sequence number of its history as well.
pub(super) fn open_read_only(path: &Path, schema: &Schema) -> Result<(PathBuf, Connection, u64), StoreError> {
    let (path, (connection, newest)) = open_for_reading(path, schema, |connection, path| {
        let newest = check_whole(&connection, schema, path)?;
        Ok((connection, newest))
    })?;
    Ok((path, connection, newest))
}

/// The same without knowing whether it is whole: for finding out what is wrong with it.
pub(super) fn open_unjudged(path: &Path, schema: &Schema) -> Result<(PathBuf, Connection), StoreError> {
    open_for_reading(path, schema, |connection, _| Ok(connection))
}

fn open_for_reading<T>(
    path: &Path,
    schema: &Schema,
    judge: impl Fn(Connection, &Path) -> Result<T, StoreError>,
) -> Result<(PathBuf, T), StoreError> {
    let path = resolve(path)?;
    std::fs::metadata(&path).map_err(|error| file_error(&path, "looking at it", error))?;
    let read = |connection: Connection| -> Result<T, StoreError> {
        identify(&connection, &path, schema)?;
        check_version(&connection, schema, &path, Purpose::Reading)?;
        judge(connection, &path)
    };
    match open_reader(&path).and_then(read) {
        Ok(read) => Ok((path, read)),
        // Where the directory can't be written the engine has no place for its index of the log.
        Err(StoreError::ReadOnly { .. } | StoreError::Engine { .. }) if log_is_empty(&path) => {
            let read = open_immutable(&path).and_then(read)?;
            Ok((path, read))
        }
        Err(error) => Err(error),
    }
}

/// The file beside it with this suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    // Through links, so that two names of one file have one lock.
    match path.canonicalize() {
        Ok(found) => return Ok(found),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(file_error(path, "looking for it", error)),
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let Some(name) = path.file_name() else {
        return Err(StoreError::Missing { path: path.to_owned() });
    };
    match directory.canonicalize() {
        Ok(directory) => Ok(directory.join(name)),
        Err(error) => Err(file_error(path, "looking for its directory", error)),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    // A file of its own: closing any handle of the database file would drop the engine's own locks on it.
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(beside(path, "-lock"))
        .map_err(|error| file_error(path, "opening its -lock file", error))?;
    // A process that is just ending, or one that was forked and is yet to become another program, lets go in a moment.
    let waits = ConstantBuilder::default().with_delay(LOCK_PAUSE).with_max_times(LOCK_TRIES_MAX);
    let is_held = |error: &TryLockError| matches!(error, TryLockError::WouldBlock);
    match (|| lock.try_lock()).retry(waits).when(is_held).call() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(file_error(path, "locking its -lock file", error)),
    }
}

fn create(path: &Path, schema: &Schema) -> Result<(), StoreError> {
    if beside(path, "-wal").exists() {
        let found = "its write-ahead log (-wal) is there and it isn't".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), found });
    }
    let begun = beside(path, "-new");
    let failed = |doing| move |error| file_error(path, doing, error);
    for suffix in ["", "-journal", "-wal", "-shm"] {
        match std::fs::remove_file(beside(&begun, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("removing a beginning of it")(error)),
        }
    }
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(FILE_MODE)
        .open(&begun)
        .map_err(failed("making its -new file"))?;
    let fill = || -> Result<(), Fault> {
        let mut connection = Connection::open_with_flags(&begun, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        common(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "application_id", schema.application_id)?;
        schema.bring_forward(&mut connection, 0)?;
        write_ahead(&connection)?;
        connection.close().map_err(|(_, error)| Fault::Sqlite(error))
    };
    fill().map_err(|fault| fault.at(path, Moment::BeforeCommit))?;
    file.sync_all().map_err(failed("syncing its -new file"))?;
    std::fs::rename(&begun, path).map_err(failed("giving it its name"))?;
    sync_directory(path)
}

/// Makes a file's name durable.
pub(super) fn sync_directory(of: &Path) -> Result<(), StoreError> {
    let directory = match of.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| file_error(of, "syncing its directory", error))
}

/// Refuses what isn't a file of this kind. Reads through the engine: a handle of our own, when closed, would drop the
/// engine's locks on the file.
fn identify(connection: &Connection, path: &Path, schema: &Schema) -> Result<(), StoreError> {
    let length = std::fs::metadata(path).map_err(|error| file_error(path, "looking at it", error))?.len();
    if length == 0 {
        return Err(StoreError::Damaged { path: path.to_owned(), found: "it is empty".to_owned() });
    }
    let not_ours = |found: String| Err(StoreError::NotOurs { path: path.to_owned(), expected: schema.kind, found });
    let found: i32 = match connection.pragma_query_value(None, "application_id", |row| row.get(0)) {
        Ok(found) => found,
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return not_ours("it is not a SQLite file, or its first bytes are broken".to_owned());
        }
        Err(error) => return Err(Fault::Sqlite(error).at(path, Moment::BeforeCommit)),
    };
    if found.cast_unsigned() == schema.application_id {
        return Ok(());
    }
    let other = [LEDGER, JOURNAL].iter().find(|other| other.application_id == found.cast_unsigned());
    match other {
        Some(other) => not_ours(format!("it is a muster {}", other.kind)),
        None => not_ours(format!("it is another program's SQLite file (application id {found:#010x})")),
    }
}

fn prepare_for_writing(connection: &mut Connection, schema: &Schema, path: &Path) -> Result<u64, StoreError> {
    let at = |fault: Fault| fault.at(path, Moment::BeforeCommit);
    common(connection).map_err(at)?;
    let found = check_version(connection, schema, path, Purpose::Writing)?;
    let pragmas = |connection: &Connection| -> Result<(), Fault> {
        write_ahead(connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // The writer checkpoints by itself, where a failure is seen; a log that begins anew is cut to what is in it.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", 0)?;
        Ok(())
    };
    pragmas(connection).map_err(at)?;
    if found < schema.version() {
        // Rows of before they had digests can only be taken as they are, but not from broken pages.
        check_pages(connection, schema, path, found)?;
        tracing::info!(path = %path.display(), found, version = schema.version(), "bringing the file forward");
        schema.bring_forward(connection, found).map_err(at)?;
    }
    check_whole(connection, schema, path)
}

enum Purpose {
    Reading,
    Writing,
}

fn check_version(connection: &Connection, schema: &Schema, path: &Path, purpose: Purpose) -> Result<u32, StoreError> {
    let found = version_of(connection).map_err(|fault| fault.at(path, Moment::BeforeCommit))?;
    let (path, kind, known) = (path.to_owned(), schema.kind, schema.version());
    match purpose {
        Purpose::Reading | Purpose::Writing if found > known => Err(StoreError::Newer { path, kind, found, known }),
        Purpose::Reading if found < known => Err(StoreError::Older { path, kind, found, known }),
        Purpose::Reading | Purpose::Writing => Ok(found),
    }
}

/// Reads the whole file for tables that aren't its version's, and for broken pages and indexes.
fn check_pages(connection: &Connection, schema: &Schema, path: &Path, version: u32) -> Result<(), StoreError> {
    // With commits in the log the file may end anywhere: they were being carried over.
    let settled = log_is_empty(path);
    let length = std::fs::metadata(path).map_err(|error| file_error(path, "looking at it", error))?.len();
    let check = || -> Result<(), Fault> {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        if settled && !length.is_multiple_of(page.cast_unsigned()) {
            return Err(Fault::Nonsense(format!("it is cut off: {length} bytes are no whole number of pages")));
        }
        schema.must_fit(connection, version)?;
        let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(Fault::Nonsense(found)) }
    };
    check().map_err(|fault| fault.at(path, Moment::BeforeCommit))
}

/// Reads the whole file for broken pages and indexes, changed rows, rows behind their history, and a history with gaps or with
/// links that don't follow; returns the newest sequence number.
fn check_whole(connection: &Connection, schema: &Schema, path: &Path) -> Result<u64, StoreError> {
    check_pages(connection, schema, path, schema.version())?;
    let check = || -> Result<u64, Fault> {
        for table in schema.tables {
            if let Some(key) = table.first_changed(connection)? {
                return Err(table.changed(&key));
            }
        }
        if let Some(key) = contradiction(connection, schema)? {
            return Err(Fault::Nonsense(format!(
                "the row of {key} is older than what the history says was done to it"
            )));
        }
        let history = schema.history;
        let sql = format!("SELECT count(*), coalesce(min(sequence), 1), coalesce(max(sequence), 0) FROM {history}");
        let (count, first, newest): (i64, i64, i64) =
            connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        if first != 1 || count != newest {
            return Err(Fault::Nonsense(format!("{count} rows of {history} are numbered {first} to {newest}")));
        }
        if let Some(fault) = (schema.first_unchained)(connection)? {
            return Err(Fault::Nonsense(format!("its chain is broken: {fault}")));
        }
        u64::try_from(newest).map_err(|_| Fault::Nonsense(format!("{history} {newest}")))
    };
    check().map_err(|fault| fault.at(path, Moment::BeforeCommit))
}

fn contradiction(connection: &Connection, schema: &Schema) -> Result<Option<String>, Fault> {
    let Some(sql) = schema.contradiction else { return Ok(None) };
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([], |row| row.get(0))?.next().transpose()?;
    Ok(found)
}

fn common(connection: &Connection) -> Result<(), Fault> {
    digest::register(connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

fn write_ahead(connection: &Connection) -> Result<(), Fault> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode == "wal" { Ok(()) } else { Err(Fault::Nonsense(format!("its journal mode stays {mode}"))) }
}

fn log_is_empty(path: &Path) -> bool {
    match std::fs::metadata(beside(path, "-wal")) {
        Ok(metadata) => metadata.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let open = || -> Result<Connection, Fault> {
        let connection = Connection::open_with_flags(&uri, flags)?;
        common(&connection)?;
        Ok(connection)
    };
    open().map_err(|fault| fault.at(path, Moment::BeforeCommit))
}

pub(super) fn file_error(path: &Path, doing: &'static str, error: std::io::Error) -> StoreError {
    let path = path.to_owned();
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        StoreError::Missing { path }
    } else if matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
        StoreError::ReadOnly { path, found: format!("{doing}: {error}") }
    } else if matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        StoreError::Full { path, written: Written::Nothing }
    } else {
        StoreError::File { path, doing, source: Arc::new(error) }
    }
}
