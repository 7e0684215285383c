//! Domain documents (XML): what muster reads in them, and the few careful edits it makes. All else stays to the letter.
//!
//! An inert document is the real one with two things more: a disk that can't exist, whose path says why, so that libvirt
//! itself refuses to start it; and an element of muster's own under `<metadata>` ([`super::mark`]). It is the disk that
//! makes it inert, and so the disk that tells what kind it is: who takes it out by hand has a real definition, seen as such.

use super::copies::{self, Copies};
use super::mark::{self, Note};
use muster_core::definition::{DOCUMENT_MAX_BYTES, TAGS_MAX};
use muster_core::ids::{VmId, clip};
use muster_core::reading::Stored;
use roxmltree::{Document, Node};
use std::ops::Range;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The folder that must never exist.
const NOWHERE: &str = "/muster";
/// The name under which a guest would see the disk that can't exist.
const TARGET: &str = "vdzz";
/// Longest reason in that disk's path, in bytes; a file's name may have 255.
const REASON_MAX_BYTES: usize = 200;
/// Longest of what muster puts into a document, in bytes.
const OWN_MAX_BYTES: usize = 16 * 1024;
/// The namespace of the tags that users give their VMs, under `<metadata>`: `<tags xmlns='…'><tag>web</tag></tags>`.
pub(super) const TAGS_NAMESPACE: &str = "urn:muster:tags:1";

/// A document that muster can't work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    /// Not XML.
    #[error("its definition is no XML: {0}")]
    Syntax(#[from] roxmltree::Error),
    /// Something that every domain has isn't there.
    #[error("its definition has no usable <{0}>")]
    Missing(&'static str),
    /// The host wouldn't give it.
    #[error("its definition can't be read: {0}")]
    Unread(String),
    /// It defines another VM than the one that it is given for.
    #[error("its definition is of VM {found}, and not of VM {expected}; correct its <uuid>")]
    OfAnother {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: VmId,
    },
    /// Too long for a ledger.
    #[error("its definition has {0} bytes, more than {DOCUMENT_MAX_BYTES}")]
    TooLong(usize),
}

/// What muster reads in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) memory_mib: u64,
    pub(super) vcpus: u32,
    pub(super) tags: Vec<String>,
    pub(super) disks: Vec<DiskFacts>,
    /// The kind of definition that it is.
    pub(super) stored: Stored,
    /// What muster has noted in it.
    pub(super) note: Note,
    /// The disks that muster has made for it here.
    pub(super) copies: Option<Copies>,
    /// Without muster's metadata and without the disk that makes it inert.
    pub(super) real: String,
    /// Why nothing of it could be read; all but its name and memory is then a guess.
    pub(super) trouble: Option<DocumentError>,
}

/// A disk that is written to, or read as a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DiskFacts {
    /// The name under which the guest sees it.
    pub(super) target: String,
    pub(super) place: DiskPlace,
    pub(super) is_writable: bool,
    /// Its path is a file's, not a device's.
    pub(super) is_file: bool,
    /// How it is laid out, if its definition says so.
    pub(super) format: Option<String>,
}

impl DiskFacts {
    /// Its path at the host, if it has one.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.place {
            DiskPlace::Path(path) => Some(path),
            DiskPlace::Network | DiskPlace::Other => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiskPlace {
    /// A file or a block device of the host.
    Path(PathBuf),
    /// Reached over the network from wherever.
    Network,
    /// A volume of a libvirt pool, or nothing at all.
    Other,
}

/// The kinds of inert definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inert {
    Placeholder,
    Arrived,
    Sealed,
    Retired,
}

impl Inert {
    const ALL: [Inert; 4] = [Inert::Placeholder, Inert::Arrived, Inert::Sealed, Inert::Retired];

    fn folder(self) -> &'static str {
        match self {
            Inert::Placeholder => "placeholder-not-runnable",
            Inert::Arrived => "arrived-not-runnable",
            Inert::Sealed => "sealed-not-runnable",
            Inert::Retired => "retired-not-runnable",
        }
    }

    pub(super) fn stored(self) -> Stored {
        match self {
            Inert::Placeholder => Stored::Placeholder,
            Inert::Arrived => Stored::Arrived,
            Inert::Sealed => Stored::Sealed,
            Inert::Retired => Stored::Retired,
        }
    }
}

/// What is known of a document that can't be read: enough to list its VM, so that nobody thinks it isn't there.
pub(super) fn unread(name: String, memory_mib: u64, trouble: DocumentError) -> Facts {
    let note = Note::default();
    let (tags, disks, real) = (Vec::new(), Vec::new(), String::new());
    let (stored, copies, trouble) = (Stored::Real, None, Some(trouble));
    Facts { name, memory_mib, vcpus: 1, tags, disks, stored, note, copies, real, trouble }
}

/// Reads a document.
pub(super) fn read(text: &str) -> Result<Facts, DocumentError> {
    if text.len() > DOCUMENT_MAX_BYTES + OWN_MAX_BYTES {
        return Err(DocumentError::TooLong(text.len()));
    }
    let document = Document::parse(text)?;
    let domain = domain(&document)?;
    let word = |name: &'static str| -> Result<&str, DocumentError> {
        child(domain, name).and_then(|node| node.text()).map(str::trim).ok_or(DocumentError::Missing(name))
    };
    let memory = child(domain, "memory").and_then(memory_mib).ok_or(DocumentError::Missing("memory"))?;
    let vcpus = word("vcpu")?.parse().map_err(|_| DocumentError::Missing("vcpu"))?;
    let inert = inert_disk(domain);
    Ok(Facts {
        name: word("name")?.to_owned(),
        memory_mib: memory,
        vcpus,
        tags: tags(domain),
        disks: disks(domain).filter(|disk| inert.is_none_or(|(_, inert)| inert.id() != disk.id())).map(facts).collect(),
        stored: inert.map_or(Stored::Real, |(kind, _)| kind.stored()),
        note: mark::read(domain),
        copies: copies::read(domain),
        real: without(text, cuts(domain, inert.map(|(_, disk)| disk))),
        trouble: None,
    })
}

/// Refuses a document that defines another VM.
pub(super) fn must_be_of(text: &str, vm: VmId) -> Result<(), DocumentError> {
    let document = Document::parse(text)?;
    let uuid = child(domain(&document)?, "uuid").and_then(|node| node.text()).map(str::trim);
    let uuid = uuid.ok_or(DocumentError::Missing("uuid"))?;
    match uuid.parse::<Uuid>() {
        Ok(found) if VmId(found) == vm => Ok(()),
        Ok(_) | Err(_) => Err(DocumentError::OfAnother { found: clip(uuid), expected: vm }),
    }
}

/// The inert form of a real document.
pub(super) fn make_inert(real: &str, kind: Inert, note: &Note) -> Result<String, DocumentError> {
    let path = format!("{NOWHERE}/{}/{}", kind.folder(), file_name(&note.reason));
    let disk = format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='{TARGET}' bus='virtio'/></disk>"
    );
    let with_disk = {
        let document = Document::parse(real)?;
        let domain = domain(&document)?;
        match child(domain, "devices") {
            Some(devices) => insert_first(real, devices, &disk),
            None => insert_last(real, domain, &format!("<devices>{disk}</devices>")),
        }
    };
    with_note(&with_disk, note)
}

/// The document with muster's note in it.
pub(super) fn with_note(text: &str, note: &Note) -> Result<String, DocumentError> {
    let document = Document::parse(text)?;
    let domain = domain(&document)?;
    let element = mark::write(note);
    if let Some(metadata) = child(domain, "metadata") {
        return Ok(insert_first(text, metadata, &element));
    }
    let uuid = child(domain, "uuid").ok_or(DocumentError::Missing("uuid"))?;
    let (before, after) = text.split_at(uuid.range().end);
    Ok(format!("{before}<metadata>{element}</metadata>{after}"))
}

pub(super) fn domain<'d>(document: &'d Document<'d>) -> Result<Node<'d, 'd>, DocumentError> {
    let root = document.root_element();
    if root.has_tag_name("domain") { Ok(root) } else { Err(DocumentError::Missing("domain")) }
}

pub(super) fn child<'d>(of: Node<'d, 'd>, name: &str) -> Option<Node<'d, 'd>> {
    of.children().find(|node| node.has_tag_name(name))
}

/// In MiB, rounded up. libvirt writes KiB; people write what they like.
fn memory_mib(memory: Node<'_, '_>) -> Option<u64> {
    let amount: u64 = memory.text()?.trim().parse().ok()?;
    let bytes: u64 = match memory.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    Some(amount.checked_mul(bytes)?.div_ceil(1 << 20))
}

fn tags(domain: Node<'_, '_>) -> Vec<String> {
    let Some(metadata) = child(domain, "metadata") else { return Vec::new() };
    let lists = metadata.children().filter(|node| node.has_tag_name((TAGS_NAMESPACE, "tags")));
    let tags = lists.flat_map(|list| list.children().filter(|node| node.has_tag_name((TAGS_NAMESPACE, "tag"))));
    tags.filter_map(|tag| tag.text()).map(|text| text.trim().to_owned()).take(TAGS_MAX).collect()
}

pub(super) fn disks<'d>(domain: Node<'d, 'd>) -> impl Iterator<Item = Node<'d, 'd>> {
    let devices = child(domain, "devices");
    devices.into_iter().flat_map(|devices| devices.children().filter(|node| node.has_tag_name("disk")))
}

pub(super) fn source_path<'d>(disk: Node<'d, 'd>) -> Option<&'d str> {
    let source = child(disk, "source")?;
    source.attribute("file").or_else(|| source.attribute("dev"))
}

pub(super) fn facts(disk: Node<'_, '_>) -> DiskFacts {
    let place = match disk.attribute("type") {
        Some("network") => DiskPlace::Network,
        Some(_) | None => {
            source_path(disk).map_or(DiskPlace::Other, |path| DiskPlace::Path(Path::new(path).to_path_buf()))
        }
    };
    let is_disk = matches!(disk.attribute("device"), None | Some("disk" | "lun"));
    DiskFacts {
        target: child(disk, "target").and_then(|target| target.attribute("dev")).unwrap_or_default().to_owned(),
        place,
        is_writable: is_disk && child(disk, "readonly").is_none(),
        is_file: matches!(disk.attribute("type"), None | Some("file")),
        format: child(disk, "driver").and_then(|driver| driver.attribute("type")).map(str::to_owned),
    }
}

fn inert_disk<'d>(domain: Node<'d, 'd>) -> Option<(Inert, Node<'d, 'd>)> {
    disks(domain).find_map(|disk| {
        let path = Path::new(source_path(disk)?);
        let kind = Inert::ALL.into_iter().find(|kind| path.starts_with(Path::new(NOWHERE).join(kind.folder())))?;
        Some((kind, disk))
    })
}

/// What muster has put in, with the white space before it.
fn cuts<'d>(domain: Node<'d, 'd>, inert: Option<Node<'d, 'd>>) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> = inert.into_iter().map(with_space_before).collect();
    if let Some(metadata) = child(domain, "metadata") {
        let elements: Vec<Node<'_, '_>> = metadata.children().filter(Node::is_element).collect();
        let ours: Vec<&Node<'_, '_>> = elements.iter().filter(|node| is_own(**node)).collect();
        if !ours.is_empty() && ours.len() == elements.len() {
            cuts.push(with_space_before(metadata));
        } else {
            cuts.extend(ours.into_iter().map(|node| with_space_before(*node)));
        }
    }
    cuts.sort_by_key(|cut| cut.start);
    cuts
}

fn is_own(node: Node<'_, '_>) -> bool {
    mark::is_note(node) || copies::are_copies(node)
}

fn with_space_before(node: Node<'_, '_>) -> Range<usize> {
    let space = node.prev_sibling().filter(|before| before.is_text() && before.text().is_some_and(is_space));
    space.map_or(node.range().start, |before| before.range().start)..node.range().end
}

fn is_space(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

fn without(text: &str, cuts: Vec<Range<usize>>) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for cut in cuts {
        kept.push_str(&text[from..cut.start]);
        from = cut.end;
    }
    kept.push_str(&text[from..]);
    kept
}

fn insert_first(text: &str, into: Node<'_, '_>, what: &str) -> String {
    let range = into.range();
    match into.first_child() {
        Some(first) => {
            let at = first.range().start;
            format!("{}{what}{}", &text[..at], &text[at..])
        }
        // `<name/>` or `<name></name>`, without attributes in either element that this is used for.
        None => {
            let name = into.tag_name().name();
            format!("{}<{name}>{what}</{name}>{}", &text[..range.start], &text[range.end..])
        }
    }
}

fn insert_last(text: &str, into: Node<'_, '_>, what: &str) -> String {
    let end = into.range().end;
    // A domain is never empty where this is used, so it ends with a closing tag.
    let at = text[..end].rfind("</").unwrap_or(end);
    format!("{}{what}{}", &text[..at], &text[at..])
}

/// A reason as a file's name: what could be a path or markup becomes '-'.
fn file_name(reason: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = reason.chars().map(plain).take(REASON_MAX_BYTES).collect();
    if name.trim_matches('.').is_empty() { "no-reason-was-given".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::ids::{Attempt, EvacuationId};
    use muster_core::reading::Mark;
    use muster_core::token::Token;

    const PLAIN: &str = "<domain type='kvm'>
  <name>web &amp; more</name>
  <uuid>e8e9da21-647d-56db-be52-e30d7ed1c877</uuid>
  <memory unit='KiB'>8193</memory>
  <vcpu placement='static'>2</vcpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <source file='/srv/guests/web.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='/iso/a.iso'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <disk type='network' device='disk'>
      <source protocol='rbd' name='pool/b'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
  </devices>
</domain>
";
    const FOREIGN: &str = "<metadata>
    <other:os xmlns:other='http://other.example/1'><!-- kept --></other:os>
    <tags xmlns='urn:muster:tags:1'><tag>web</tag><tag> db </tag></tags>
  </metadata>
  ";

    fn with_foreign_metadata() -> String {
        PLAIN.replacen("<memory", &format!("{FOREIGN}<memory"), 1)
    }

    fn note(reason: &str) -> Note {
        let mark = Mark {
            evacuation: EvacuationId(Uuid::from_u128(7)),
            attempt: Attempt::FIRST.next(),
            token: Token::new(3, 9),
        };
        Note { mark: Some(mark), seal: None, reason: reason.to_owned() }
    }

    #[test]
    fn a_document_of_another_vm_is_refused_however_its_uuid_is_written() {
        let own = VmId("e8e9da21-647d-56db-be52-e30d7ed1c877".parse().unwrap());
        let other = VmId(Uuid::from_u128(7));
        assert_eq!(must_be_of(PLAIN, own), Ok(()));
        assert_eq!(
            must_be_of(
                &PLAIN.replace("e8e9da21-647d-56db-be52-e30d7ed1c877", " E8E9DA21647d56dbbe52e30d7ed1c877\n"),
                own
            ),
            Ok(())
        );
        assert!(
            matches!(must_be_of(PLAIN, other), Err(DocumentError::OfAnother { expected, .. }) if expected == other)
        );
        let none = PLAIN.replace("uuid>", "title>");
        assert_eq!(must_be_of(&none, own), Err(DocumentError::Missing("uuid")));
        let wrong = PLAIN.replace("e8e9da21", "all of them");
        assert!(matches!(must_be_of(&wrong, own), Err(DocumentError::OfAnother { .. })));
    }

    #[test]
    fn facts_are_read_as_they_stand() {
        let facts = read(&with_foreign_metadata()).unwrap();
        assert_eq!((facts.name.as_str(), facts.memory_mib, facts.vcpus), ("web & more", 9, 2));
        assert_eq!(facts.tags, ["web", "db"]);
        let places: Vec<(&DiskPlace, bool)> = facts.disks.iter().map(|disk| (&disk.place, disk.is_writable)).collect();
        let path = |path: &str| DiskPlace::Path(PathBuf::from(path));
        let expected = [(path("/srv/guests/web.img"), true), (path("/iso/a.iso"), false), (DiskPlace::Network, true)];
        assert_eq!(places, expected.iter().map(|(place, writable)| (place, *writable)).collect::<Vec<_>>());
        assert_eq!((facts.stored, &facts.note), (Stored::Real, &Note::default()));
    }

    #[test]
    fn what_is_made_inert_is_known_for_it_and_gives_the_real_one_back_to_the_letter() {
        let no_devices = PLAIN.split_once("  <devices>").map(|(before, _)| format!("{before}</domain>\n")).unwrap();
        let empty = PLAIN.replace("  <memory unit", "  <metadata/>\n  <memory unit");
        for real in [PLAIN.to_owned(), with_foreign_metadata()] {
            for kind in Inert::ALL {
                let note = note("it's <sealed> & \"gone\" to ../../site");
                let inert = make_inert(&real, kind, &note).unwrap();
                let facts = read(&inert).unwrap();
                assert_eq!((facts.stored, &facts.note, &facts.real), (kind.stored(), &note, &real), "{inert}");
                assert!(facts.disks.iter().all(|disk| disk.target != TARGET), "{inert}");
                assert!(inert.contains("-to-..-..-site'/>"), "a reason became a path: {inert}");
            }
            let marked = with_note(&real, &note("")).unwrap();
            let facts = read(&marked).unwrap();
            assert_eq!((facts.stored, &facts.note, &facts.real), (Stored::Real, &note(""), &real), "{marked}");
        }
        for odd in [no_devices, empty] {
            let inert = make_inert(&odd, Inert::Sealed, &note("why")).unwrap();
            assert_eq!(read(&inert).unwrap().stored, Stored::Sealed, "{inert}");
        }
    }

    #[test]
    fn as_libvirt_lays_it_out_again_it_still_gives_the_real_one_back() {
        let inert = make_inert(PLAIN, Inert::Retired, &note("moved")).unwrap();
        let spread = inert
            .replace("<metadata><muster", "\n  <metadata>\n    <muster")
            .replace("/></metadata>", "/>\n  </metadata>")
            .replacen("<disk type='file' device='disk'><driver", "\n    <disk type='file' device='disk'><driver", 1);
        assert_ne!(spread, inert);
        assert_eq!(read(&spread).unwrap().real, PLAIN);
    }

    #[test]
    fn without_the_impossible_disk_it_is_real_whatever_the_note_says() {
        let inert = make_inert(PLAIN, Inert::Sealed, &note("sealed")).unwrap();
        let unsealed = inert.replace("/muster/sealed-not-runnable", "/srv/guests");
        assert_eq!(read(&unsealed).unwrap().stored, Stored::Real);
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        assert!(matches!(read("<domain"), Err(DocumentError::Syntax(_))));
        assert_eq!(read("<network/>"), Err(DocumentError::Missing("domain")));
        let unit = PLAIN.replace("unit='KiB'", "unit='bushel'");
        assert_eq!(read(&unit), Err(DocumentError::Missing("memory")));
        let long = format!("{PLAIN}<!--{}-->", "x".repeat(DOCUMENT_MAX_BYTES + OWN_MAX_BYTES));
        assert!(matches!(read(&long), Err(DocumentError::TooLong(_))));
    }
}
