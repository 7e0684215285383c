//! The reference page says what the .proto files say, and these say something of everything.

#[path = "../../examples/reference/page.rs"]
mod page;

use std::path::Path;

#[test]
fn the_page_is_as_it_is_generated() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/API.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let made = page::reference(muster_proto::FILE_DESCRIPTOR_SET).page;
    let first = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(
        kept == made,
        "docs/API.md is out of date at {first:#?}; run: cargo run -p muster-proto --example reference"
    );
}

#[test]
fn everything_has_a_comment() {
    let uncommented = page::reference(muster_proto::FILE_DESCRIPTOR_SET).uncommented;
    assert!(uncommented.is_empty(), "{} without a comment: {uncommented:#?}", uncommented.len());
}
