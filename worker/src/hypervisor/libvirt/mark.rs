//! Muster's own element in a domain's metadata: whose the definition is, and why it is inert.
//!
//! Written by muster, but anybody may have edited it since: what can't be read counts as not there.

use muster_core::definition::Mode;
use muster_core::ids::{Attempt, EvacuationId};
use muster_core::reading::{Mark, Seal};
use muster_core::token::Token;
use roxmltree::Node;
use std::fmt::Write;

/// The namespace of the element.
pub(super) const NAMESPACE: &str = "urn:muster:mark:1";
/// Its name.
const ELEMENT: &str = "vm";

/// How a VM can be moved.
const MODES: [Mode; 3] = [Mode::Live, Mode::Cold, Mode::Off];

/// What muster notes in a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Whose it is.
    pub(super) mark: Option<Mark>,
    /// Whose departure a sealed one serves.
    pub(super) seal: Option<Seal>,
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
    Note {
        mark: read_mark(node),
        seal: read_seal(node),
        reason: node.attribute("reason").unwrap_or_default().to_owned(),
    }
}

fn read_mark(node: Node<'_, '_>) -> Option<Mark> {
    let evacuation: EvacuationId = node.attribute("evacuation")?.parse().ok()?;
    let attempt = Attempt::new(u32::try_from(number(node, "attempt")?).ok()?).ok()?;
    Some(Mark { evacuation, attempt, token: Token::new(number(node, "epoch")?, number(node, "sequence")?) })
}

fn number(node: Node<'_, '_>, name: &str) -> Option<u64> {
    node.attribute(name)?.parse().ok()
}

fn read_seal(node: Node<'_, '_>) -> Option<Seal> {
    Some(Seal {
        evacuation: node.attribute("leaves-by")?.parse().ok()?,
        token: Token::new(number(node, "seal-epoch")?, number(node, "seal-sequence")?),
        mode: MODES.into_iter().find(|mode| node.attribute("mode") == Some(mode.word()))?,
        source_site: node.attribute("from")?.parse().ok()?,
        destination_site: node.attribute("to")?.parse().ok()?,
        destination_host: node.attribute("to-host")?.parse().ok()?,
        autostart: node.attribute("autostart")?.parse().ok()?,
    })
}

fn write_seal(seal: &Seal) -> String {
    let mode = seal.mode.word();
    let (epoch, sequence) = (seal.token.epoch.0, seal.token.sequence.0);
    let texts = [&seal.source_site.to_string(), &seal.destination_site.to_string(), &seal.destination_host.to_string()];
    let [from, to, host] = texts.map(|text| escaped(text));
    let Seal { evacuation, autostart, .. } = seal;
    format!(
        " leaves-by=\"{evacuation}\" seal-epoch=\"{epoch}\" seal-sequence=\"{sequence}\" mode=\"{mode}\" from=\"{from}\" to=\"{to}\" \
         to-host=\"{host}\" autostart=\"{autostart}\""
    )
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
    if let Some(seal) = &note.seal {
        element.push_str(&write_seal(seal));
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
