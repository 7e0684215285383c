//! Muster's own element in a domain's metadata: whose the definition is, and why it is inert.
//!
//! Written by muster, but anybody may have edited it since: what can't be read counts as not there.

use muster_core::ids::{Attempt, EvacuationId};
use muster_core::reading::Mark;
use muster_core::token::Token;
use roxmltree::Node;
use std::fmt::Write;

/// The namespace of the element.
pub(super) const NAMESPACE: &str = "urn:muster:mark:1";
/// Its name.
const ELEMENT: &str = "vm";

/// What muster notes in a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Whose it is.
    pub(super) mark: Option<Mark>,
    /// Why it is inert; empty for a real one.
    pub(super) reason: String,
}

pub(super) fn is_note(node: Node<'_, '_>) -> bool {
    node.has_tag_name((NAMESPACE, ELEMENT))
}

/// The note in a domain; an empty one where there is none.
pub(super) fn read(domain: Node<'_, '_>) -> Note {
    let metadata = domain.children().find(|node| node.has_tag_name("metadata"));
    let Some(node) = metadata.and_then(|metadata| metadata.children().find(|node| is_note(*node))) else {
        return Note::default();
    };
    Note { mark: read_mark(node), reason: node.attribute("reason").unwrap_or_default().to_owned() }
}

fn read_mark(node: Node<'_, '_>) -> Option<Mark> {
    let number = |name: &str| node.attribute(name)?.parse::<u64>().ok();
    let evacuation: EvacuationId = node.attribute("evacuation")?.parse().ok()?;
    let attempt = Attempt::new(u32::try_from(number("attempt")?).ok()?).ok()?;
    Some(Mark { evacuation, attempt, token: Token::new(number("epoch")?, number("sequence")?) })
}

/// The element.
pub(super) fn write(note: &Note) -> String {
    let mut element = format!("<muster:{ELEMENT} xmlns:muster=\"{NAMESPACE}\"");
    if let Some(Mark { evacuation, attempt, token }) = note.mark {
        let (epoch, sequence) = (token.epoch.0, token.sequence.0);
        // Writing to a string can't fail.
        let _ = write!(
            element,
            " evacuation=\"{evacuation}\" attempt=\"{attempt}\" epoch=\"{epoch}\" sequence=\"{sequence}\""
        );
    }
    if !note.reason.is_empty() {
        let _ = write!(element, " reason=\"{}\"", escaped(&note.reason));
    }
    element.push_str("/>");
    element
}

/// A text as the value of an attribute, or between tags.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
