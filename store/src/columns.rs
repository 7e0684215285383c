//! How columns become bytes to be hashed: rows' digests and the chains' links are made over the same form. It is part of
//! the files' form, and never changes.
//!
//! ```text
//! column = 0 for NULL | 1, 8 bytes big-endian for an integer | 2, length in 8 bytes, bytes for a text
//! ```

use muster_core::fingerprint::Fingerprint;
use muster_core::time::Timestamp;
use sha2::{Digest, Sha256};

/// A hash over columns, one after the other.
pub(crate) struct Columns(Sha256);

impl Columns {
    pub(crate) fn new() -> Self {
        Columns(Sha256::new())
    }

    /// With what every link begins: the link before it, and the line's number and time.
    pub(crate) fn of_link(before: Fingerprint, sequence: u64, at: Timestamp) -> Self {
        let mut columns = Columns::new();
        columns.blob(&before.0);
        columns.integer(sequence.cast_signed());
        columns.integer(at.0.cast_signed());
        columns
    }

    pub(crate) fn null(&mut self) {
        self.0.update([0]);
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.0.update([1]);
        self.0.update(number.to_be_bytes());
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.sized(2, text);
    }

    pub(crate) fn optional_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text.as_bytes()),
            None => self.null(),
        }
    }

    pub(crate) fn optional_integer(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.integer(number),
            None => self.null(),
        }
    }

    /// No column of the first files holds one.
    pub(crate) fn real(&mut self, number: f64) {
        self.sized(3, &number.to_be_bytes());
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.sized(4, bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn sized(&mut self, tag: u8, bytes: &[u8]) {
        self.0.update([tag]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}
