//! Page tokens: opaque to callers, checked when they come back, and good for the list they came from alone.

use muster_proto::convert::InvalidMessage;
use muster_proto::status::{Violation, invalid};
use tonic::Status;

/// Longest page token, in bytes.
const TOKEN_MAX_BYTES: usize = 256;

/// A list's name: with another filter it is another list.
pub(super) fn list(name: &str, filter: &str) -> String {
    if filter.is_empty() { name.to_owned() } else { format!("{name}?{filter}") }
}

/// A token for the page after `last` of the list `list`.
pub(super) fn token(list: &str, last: &str) -> String {
    format!("{:016x}.{last}", check(list, last))
}

/// Where the page begins: after this. None for the first page.
pub(super) fn after(list: &str, token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    match told(list, token) {
        Some(last) => Ok(Some(last.to_owned())),
        None => {
            let description =
                "is not a token of this list with this filter; send the one its last page came with, or none"
                    .to_owned();
            Err(invalid("page_token can't be used", [Violation { field: "page_token".to_owned(), description }]))
        }
    }
}

/// What a token of this list says. None where it is another's, or none at all.
pub(super) fn told<'t>(list: &str, token: &'t str) -> Option<&'t str> {
    let (sum, told) = token.split_once('.').filter(|_| token.len() <= TOKEN_MAX_BYTES)?;
    (sum == format!("{:016x}", check(list, told))).then_some(told)
}

/// How many items the page holds.
pub(super) fn size(given: u32) -> Result<usize, InvalidMessage> {
    muster_proto::convert::page_size("page_size", given)
}

/// Tells a token of another list, and a slip, from a right one; it keeps nobody out.
fn check(list: &str, last: &str) -> u64 {
    let bytes = list.bytes().chain([0]).chain(last.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_list_alone() {
        let token = token("moves/a", "17");
        assert_eq!(after("moves/a", &token).unwrap(), Some("17".to_owned()));
        assert_eq!(after("moves/a", "").unwrap(), None);
        for (list, token) in [("moves/b", token.as_str()), ("moves/a", "17"), ("moves/a", &format!("{token}1"))] {
            assert!(after(list, token).is_err(), "{list} took {token}");
        }
    }
}
