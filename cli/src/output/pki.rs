//! Certificates, shown.

use serde::Serialize;

/// A certificate that stands somewhere.
#[derive(Debug, Serialize)]
pub(crate) struct Issued {
    pub(crate) directory: String,
    /// Whose it is; none for an authority's.
    pub(crate) identity: Option<String>,
    /// Until when it is valid.
    pub(crate) not_after_ms: u64,
}

/// For people.
pub(crate) fn text(issued: &Issued) -> String {
    let until = super::instant(issued.not_after_ms);
    match &issued.identity {
        Some(identity) => format!("{}: {identity}, valid until {until}", issued.directory),
        None => format!(
            "{}: an authority, valid until {until}\nwhoever reads ca.key in it can make certificates for anybody: keep it where no daemon runs",
            issued.directory
        ),
    }
}
