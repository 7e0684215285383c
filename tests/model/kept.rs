//! Values that most steps leave as they were: kept once however many states hold them, cheap to copy and to compare.

use muster_core::ledger::VmRow;
use muster_core::reading::SiteReading;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A kept value; its fingerprint stands for it.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    value: Arc<T>,
    fingerprint: u64,
}

/// Every value that was ever kept, by its fingerprint.
type Pool<T> = Mutex<HashMap<u64, Arc<T>>>;

/// What is kept in a pool of its own.
pub(crate) trait Pooled: Sized + 'static {
    fn pool() -> &'static Pool<Self>;
}

impl Pooled for VmRow {
    fn pool() -> &'static Pool<Self> {
        static POOL: LazyLock<Pool<VmRow>> = LazyLock::new(Pool::default);
        &POOL
    }
}

impl Pooled for SiteReading {
    fn pool() -> &'static Pool<Self> {
        static POOL: LazyLock<Pool<SiteReading>> = LazyLock::new(Pool::default);
        &POOL
    }
}

impl<T: Hash + Pooled> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let fingerprint = hasher.finish();
        let mut pool = T::pool().lock().unwrap_or_else(PoisonError::into_inner);
        let value = Arc::clone(pool.entry(fingerprint).or_insert_with(|| Arc::new(value)));
        Kept { value, fingerprint }
    }
}

impl<T> std::ops::Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl<T> Eq for Kept<T> {}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.fingerprint.hash(hasher);
    }
}
