//! Resume tokens of watches: how far a watcher was told, opaque to it, checked when it comes back. A token says which
//! record of the journal was the last, and when that was written: a journal that holds another record in its place, or
//! none, is not the one that the token was made from.

use super::page;
use crate::error::OrchestratorError;
use muster_core::ids::EvacuationId;
use muster_core::time::Timestamp;
use muster_proto::status::{Violation, invalid};
use muster_store::{Journal, JournalQuery};
use tonic::Status;

/// What tokens of watches are told from other tokens by.
const LIST: &str = "watch";

/// A record of the journal, as far as a token knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) sequence: u64,
    pub(super) at: Timestamp,
}

/// The journal's record of this number, as far as a token knows it. None where there is no such record.
pub(super) async fn mark_of(journal: &dyn Journal, sequence: u64) -> Result<Option<Mark>, OrchestratorError> {
    let Some(after_sequence) = sequence.checked_sub(1) else { return Ok(None) };
    let query = JournalQuery { after_sequence, limit: 1, ..JournalQuery::all() };
    let found = journal.records(query).await?;
    Ok(found.first().map(|(sequence, record)| Mark { sequence: *sequence, at: record.at }))
}

/// A token for a watcher of this evacuation that was told everything up to here.
pub(super) fn token(evacuation: EvacuationId, mark: Mark) -> String {
    page::token(LIST, &format!("{evacuation}.{}.{}", mark.sequence, mark.at.0))
}

/// What a token says. None for an empty one.
///
/// # Errors
/// INVALID_ARGUMENT where it is no token of a watch.
pub(super) fn read(token: &str) -> Result<Option<(EvacuationId, Mark)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let parts = page::told(LIST, token).and_then(|told| {
        let mut parts = told.split('.');
        let evacuation = parts.next()?.parse().ok()?;
        let mark = Mark { sequence: parts.next()?.parse().ok()?, at: Timestamp(parts.next()?.parse().ok()?) };
        parts.next().is_none().then_some((evacuation, mark))
    });
    parts.map(Some).ok_or_else(|| unusable("is not a token of a watch; send the last one that came, or none"))
}

/// A token that is whole, and yet can't be used for this.
pub(super) fn unusable(why: &str) -> Status {
    let violation = Violation { field: "resume_token".to_owned(), description: why.to_owned() };
    invalid("resume_token can't be used", [violation])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_and_nothing_else_is_taken_for_one() {
        let evacuation = EvacuationId(uuid::Uuid::from_u128(7));
        let mark = Mark { sequence: 12, at: Timestamp(1_700) };
        let token = token(evacuation, mark);
        assert_eq!(read(&token).unwrap(), Some((evacuation, mark)));
        assert_eq!(read("").unwrap(), None);
        let of_a_page = page::token("moves/x", "12");
        let shorter = page::token(LIST, &format!("{evacuation}.12"));
        for wrong in [&token[1..], &format!("{token}0"), "12", &of_a_page, &shorter] {
            assert!(read(wrong).is_err(), "{wrong} was taken");
        }
    }
}
