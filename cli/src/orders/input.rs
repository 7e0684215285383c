//! Files that orders are read from, whole.

use std::io::Read;
use std::path::Path;

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// The name of standard input.
pub(super) const STANDARD_INPUT: &str = "-";

/// A whole file, or standard input.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let from: Box<dyn Read> = match path == Path::new(STANDARD_INPUT) {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path)?),
    };
    from.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        let why = format!("it is larger than {} MiB", FILE_MAX_BYTES >> 20);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}
