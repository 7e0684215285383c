//! Splitting what is to be sent into requests that stay within the limits.

use crate::limits::{BATCH_MAX_BYTES, ITEMS_MAX};
use crate::worker::v1 as pb;
use muster_core::ledger::RollEntry;
use prost::Message;

/// Room for an item's tag and length, in bytes.
const ITEM_FRAME_BYTES: usize = 16;

/// The messages in order, in batches of at most [`ITEMS_MAX`] items and [`BATCH_MAX_BYTES`] bytes. A single item
/// that is larger stands alone.
#[must_use]
pub fn batches<M: Message>(messages: Vec<M>) -> Vec<Vec<M>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for message in messages {
        let bytes = message.encoded_len() + ITEM_FRAME_BYTES;
        let full = batch.len() == ITEMS_MAX || batch_bytes + bytes > BATCH_MAX_BYTES;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            batch_bytes = 0;
        }
        batch_bytes += bytes;
        batch.push(message);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// The roll as batches for `WriteRoll`.
#[must_use]
pub fn roll_batches(entries: impl IntoIterator<Item = RollEntry>) -> Vec<Vec<pb::RollEntry>> {
    batches(entries.into_iter().map(Into::into).collect())
}
