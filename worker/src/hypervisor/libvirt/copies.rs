//! Muster's record of the disks that it has made for a VM at its destination: an element of its own in the metadata of the
//! definition there, beside the [`super::mark`].
//!
//! It is the evidence of a copy's completeness, and it belongs to one attempt: an older attempt's proves nothing. And it
//! is the only licence to delete a file or to write over one: what isn't in it is somebody else's. So it is written before
//! a volume is made, and goes with the definition only after the volumes have.

use super::document::{DocumentError, child, domain};
use super::mark::escaped;
use muster_core::ids::{Attempt, EvacuationId};
use muster_core::reading::Mark;
use roxmltree::{Document, Node};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The namespace of the element.
pub(super) const NAMESPACE: &str = "urn:muster:copies:1";
/// The prefix that libvirt writes it with.
pub(super) const PREFIX: &str = "copies";
/// Its name.
const ELEMENT: &str = "disks";

/// The disks that were made for one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copies {
    /// For whom: an evacuation's attempt.
    pub(super) of: (EvacuationId, Attempt),
    /// They are whole: verified against the source's, or mirrored until the guest was handed over.
    pub(super) are_complete: bool,
    pub(super) disks: Vec<CopiedDisk>,
}

/// A disk that muster makes, or has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopiedDisk {
    pub(super) path: PathBuf,
    /// What the guest sees of it.
    pub(super) capacity_bytes: u64,
    pub(super) making: Making,
}

/// How far the making of a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// Not begun: what is there is the VM's own of before it moved away, left by its retired copy that has given way. It may
    /// be written over by the VM's return, and is not muster's to delete.
    Found,
    /// Begun; whether it was made isn't known.
    Begun,
    Made,
}

impl Making {
    const ALL: [Making; 3] = [Making::Found, Making::Begun, Making::Made];

    fn word(self) -> &'static str {
        match self {
            Making::Found => "found",
            Making::Begun => "begun",
            Making::Made => "made",
        }
    }
}

impl Copies {
    /// Whether these are the whole disks of this mark's attempt.
    pub(super) fn are_whole_for(&self, mark: Option<Mark>) -> bool {
        self.are_complete && mark.is_some_and(|mark| self.of == (mark.evacuation, mark.attempt))
    }

    pub(super) fn find(&self, path: &Path) -> Option<&CopiedDisk> {
        self.disks.iter().find(|disk| disk.path == path)
    }

    /// The element without its namespace, as libvirt wants to be given it.
    pub(super) fn element(&self) -> String {
        self.written(ELEMENT)
    }

    fn written(&self, name: &str) -> String {
        let ((evacuation, attempt), complete) = (self.of, if self.are_complete { "yes" } else { "no" });
        let mut text = format!("<{name} evacuation=\"{evacuation}\" attempt=\"{attempt}\" complete=\"{complete}\">");
        for disk in &self.disks {
            let (path, making) = (escaped(&disk.path.display().to_string()), disk.making.word());
            // Writing to a string can't fail.
            let _ =
                write!(text, "<disk path=\"{path}\" capacity_bytes=\"{}\" making=\"{making}\"/>", disk.capacity_bytes);
        }
        // The namespace that a prefix stands for is no part of the element's name at its end.
        let _ = write!(text, "</{}>", name.split(' ').next().unwrap_or(name));
        text
    }
}

pub(super) fn are_copies(node: Node<'_, '_>) -> bool {
    node.has_tag_name((NAMESPACE, ELEMENT))
}

/// The record in a domain.
pub(super) fn read(domain: Node<'_, '_>) -> Option<Copies> {
    let node = child(domain, "metadata")?.children().find(|node| are_copies(*node))?;
    let attempt = Attempt::new(node.attribute("attempt")?.parse().ok()?).ok()?;
    let disks = node.children().filter(|node| node.is_element() && node.tag_name().name() == "disk");
    Some(Copies {
        of: (node.attribute("evacuation")?.parse().ok()?, attempt),
        are_complete: node.attribute("complete") == Some("yes"),
        disks: disks.filter_map(read_disk).collect(),
    })
}

fn read_disk(node: Node<'_, '_>) -> Option<CopiedDisk> {
    Some(CopiedDisk {
        path: PathBuf::from(node.attribute("path")?),
        capacity_bytes: node.attribute("capacity_bytes")?.parse().ok()?,
        making: Making::ALL.into_iter().find(|making| node.attribute("making") == Some(making.word()))?,
    })
}

/// A document that has a note of muster's, with this record beside it.
pub(super) fn kept(text: String, copies: Option<&Copies>) -> Result<String, DocumentError> {
    let Some(copies) = copies else { return Ok(text) };
    let document = Document::parse(&text)?;
    let metadata = child(domain(&document)?, "metadata").ok_or(DocumentError::Missing("metadata"))?;
    let at = metadata.first_child().ok_or(DocumentError::Missing("metadata"))?.range().start;
    let element = copies.written(&format!("{PREFIX}:{ELEMENT} xmlns:{PREFIX}=\"{NAMESPACE}\""));
    Ok(format!("{}{element}{}", &text[..at], &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::token::Token;
    use uuid::Uuid;

    fn copies() -> Copies {
        let disk = |path: &str, making| CopiedDisk { path: PathBuf::from(path), capacity_bytes: 1 << 40, making };
        Copies {
            of: (EvacuationId(Uuid::from_u128(7)), Attempt::FIRST),
            are_complete: true,
            disks: Making::ALL.map(|making| disk("/local/a & \"b\".img", making)).to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "<domain><name>a</name><metadata><other xmlns='urn:x'/></metadata></domain>".to_owned();
        let text = kept(text, Some(&copies())).unwrap();
        let document = Document::parse(&text).unwrap();
        assert_eq!(read(document.root_element()), Some(copies()), "{text}");
        assert!(copies().element().ends_with("</disks>"));
    }

    #[test]
    fn they_are_whole_for_their_own_attempt_alone() {
        let (evacuation, attempt) = copies().of;
        let mark = Mark { evacuation, attempt, token: Token::new(1, 1) };
        assert!(copies().are_whole_for(Some(mark)));
        assert!(!copies().are_whole_for(Some(Mark { attempt: attempt.next(), ..mark })));
        assert!(!copies().are_whole_for(None));
        assert!(!Copies { are_complete: false, ..copies() }.are_whole_for(Some(mark)));
    }
}
