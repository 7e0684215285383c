//! Readings, on connections of their own and off the async runtime's threads, so that neither the writer nor the
//! runtime waits for them.

use super::fault::{Fault, Moment};
use super::file;
use crate::error::StoreError;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Connections, and so readings at a time, of one store. Further readers wait for one to be free.
pub const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
}

impl Readers {
    /// Readers beside a writer.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connections = (0..READERS).map(|_| file::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Readers::new(path.to_owned(), connections))
    }

    pub(super) fn new(path: PathBuf, connections: Vec<Connection>) -> Self {
        let free = Arc::new(Semaphore::new(connections.len()));
        Readers { path, idle: Arc::new(Mutex::new(connections)), free }
    }

    /// Makes one reading, in one transaction, on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Closed { path: self.path.clone() };
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let read = move || {
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let result = in_transaction(&connection, reading);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            Some(result)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(Some(result)) => result.map_err(|fault| fault.at(&self.path, Moment::BeforeCommit)),
            // Its connection was lost to a reading that panicked.
            Ok(None) | Err(_) => Err(StoreError::ThreadDied { path: self.path.clone() }),
        }
    }
}

fn in_transaction<T>(
    connection: &Connection,
    reading: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.unchecked_transaction()?;
    let found = reading(&transaction)?;
    transaction.finish()?;
    Ok(found)
}
