//! Which disks of a VM only its own host has, so that they are copied, and whether they can be. Reads only.

use super::copies::{CopiedDisk, Copies, Making};
use super::document::{self, DiskPlace, child, domain, source_path};
use super::trouble::Trouble;
use super::view::{View, is_shared};
use super::volumes::NewVolume;
use muster_core::reading::Mark;
use muster_libvirt::virt::sys;
use roxmltree::{Document, Node};
use std::path::{Path, PathBuf};

/// Most disks of one VM that are copied: their record has to fit into its definition.
pub(super) const LOCAL_DISKS_MAX: usize = 16;
/// Longest path of a disk that is copied, in bytes; for the same reason.
pub(super) const PATH_MAX_BYTES: usize = 400;

/// A disk that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalDisk {
    /// The name under which the guest sees it.
    pub(super) target: String,
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// What the guest sees of it.
    pub(super) capacity_bytes: u64,
    /// How long its file is.
    pub(super) file_bytes: u64,
    /// What it rests on, nearest first, as far as its host tells: a guest that is off keeps it in the file itself.
    pub(super) backing: Vec<Backing>,
}

/// An image that others rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backing {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) is_shared: bool,
}

/// How a disk's file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Raw,
    Qcow2,
}

impl Format {
    pub(super) fn word(self) -> &'static str {
        match self {
            Format::Raw => "raw",
            Format::Qcow2 => "qcow2",
        }
    }

    fn of(word: Option<&str>) -> Option<Format> {
        match word {
            None | Some("raw") => Some(Format::Raw),
            Some("qcow2") => Some(Format::Qcow2),
            Some(_) => None,
        }
    }
}

/// The disks of a VM that are copied.
pub(super) fn local(view: &View, shared: &[PathBuf]) -> Result<Vec<LocalDisk>, Trouble> {
    let unshared = view.facts.disks.iter().filter(|disk| disk.is_writable && !is_shared(&disk.place, shared));
    let targets: Vec<&str> = unshared.map(|disk| disk.target.as_str()).collect();
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    // A running guest's own document says what its images rest on.
    let text = if view.is_active() { view.domain.xml_desc(0)? } else { view.facts.real.clone() };
    let mut disks = described(&text, &targets, shared)?;
    for disk in &mut disks {
        let size = view.domain.block_info(&disk.target, 0)?;
        (disk.capacity_bytes, disk.file_bytes) = (size.capacity, size.physical);
    }
    Ok(disks)
}

/// Why a disk can't be copied, if it can't; for preflight.
pub(super) fn why_not(disk: &document::DiskFacts) -> Option<String> {
    match (&disk.place, Format::of(disk.format.as_deref())) {
        (DiskPlace::Path(_), _) if !disk.is_file => Some("it is a block device".to_owned()),
        (DiskPlace::Path(path), _) if path.as_os_str().len() > PATH_MAX_BYTES => {
            Some("its path is too long".to_owned())
        }
        (DiskPlace::Path(_), Some(_)) | (DiskPlace::Network, _) => None,
        (DiskPlace::Path(_), None) => Some(format!("its format is {}", disk.format.as_deref().unwrap_or("not told"))),
        (DiskPlace::Other, _) => Some("it is no file that its definition names".to_owned()),
    }
}

/// What a document says of these disks. Pure; the sizes are yet to be asked for.
fn described(text: &str, targets: &[&str], shared: &[PathBuf]) -> Result<Vec<LocalDisk>, Trouble> {
    if targets.len() > LOCAL_DISKS_MAX {
        let count = targets.len();
        return Err(Trouble::Refused(format!("{count} of its disks would be copied, more than {LOCAL_DISKS_MAX}")));
    }
    let document = Document::parse(text).map_err(document::DocumentError::from)?;
    let domain = domain(&document)?;
    targets.iter().map(|target| described_disk(domain, target, shared)).collect()
}

fn described_disk(domain: Node<'_, '_>, target: &str, shared: &[PathBuf]) -> Result<LocalDisk, Trouble> {
    let refused = |why: &str| {
        let mend = "move it to a file or to shared storage, or except the VM";
        Trouble::Refused(format!("its disk {target} can't be copied: {why}; {mend}"))
    };
    let is_it = |disk: &Node<'_, '_>| child(*disk, "target").and_then(|at| at.attribute("dev")) == Some(target);
    let node = document::disks(domain).find(is_it).ok_or_else(|| refused("its running guest has no such disk"))?;
    if let Some(why) = why_not(&document::facts(node)) {
        return Err(refused(&why));
    }
    let path = source_path(node).map(PathBuf::from).ok_or_else(|| refused("its definition names no file"))?;
    let format = Format::of(format_of(node)).ok_or_else(|| refused("its format is unknown"))?;
    let backing = backing(node, shared).ok_or_else(|| refused("it rests on an image of an unknown kind"))?;
    Ok(LocalDisk { target: target.to_owned(), path, format, capacity_bytes: 0, file_bytes: 0, backing })
}

fn format_of<'d>(disk: Node<'d, 'd>) -> Option<&'d str> {
    child(disk, "driver").and_then(|driver| driver.attribute("type"))
}

/// What a disk rests on; none if it can't be told.
fn backing(disk: Node<'_, '_>, shared: &[PathBuf]) -> Option<Vec<Backing>> {
    let mut found = Vec::new();
    let mut next = child(disk, "backingStore");
    while let Some(store) = next {
        // An empty one says that nothing is below.
        if !store.has_children() {
            break;
        }
        let path = PathBuf::from(source_path(store)?);
        let format = Format::of(child(store, "format").and_then(|format| format.attribute("type")))?;
        let is_shared = shared.iter().any(|folder| path.starts_with(folder));
        found.push(Backing { path, format, is_shared });
        next = child(store, "backingStore");
    }
    Some(found)
}

/// The flag that copies these disks in a live transfer, if there are any. Where all that they rest on is shared, only what is
/// above it is sent; else everything, and the copies rest on nothing.
pub(super) fn copy_flag(disks: &[LocalDisk]) -> u32 {
    if disks.is_empty() {
        0
    } else if rest_on_shared(disks) {
        sys::VIR_MIGRATE_NON_SHARED_INC
    } else {
        sys::VIR_MIGRATE_NON_SHARED_DISK
    }
}

/// Some rest on images, and all those are shared.
pub(super) fn rest_on_shared(disks: &[LocalDisk]) -> bool {
    let mut backing = disks.iter().flat_map(|disk| &disk.backing).peekable();
    backing.peek().is_some() && backing.all(|image| image.is_shared)
}

/// The volumes that a live transfer copies these disks into.
pub(super) fn volumes_for(disks: &[LocalDisk]) -> Vec<NewVolume> {
    let keeps_backing = rest_on_shared(disks);
    let volume = |disk: &LocalDisk| NewVolume {
        path: disk.path.clone(),
        format: disk.format,
        capacity_bytes: disk.capacity_bytes,
        disk_bytes: disk.capacity_bytes,
        backing: disk.backing.first().filter(|_| keeps_backing).map(|image| (image.path.clone(), image.format)),
    };
    disks.iter().map(volume).collect()
}

/// What the definition of a guest says of these disks once it has arrived, if there are any.
///
/// It may be written beforehand: libvirt stores it at the destination only at the end of a transfer that has succeeded at the
/// source, which it has only if every disk's mirror was in step with its source when the guest stood still, and was ended so.
/// Before that, and where anything breaks, the placeholder stays stored, whose own record says that nothing is complete.
pub(super) fn mirrored(disks: &[LocalDisk], mark: Mark) -> Option<Copies> {
    let copied = |disk: &LocalDisk| CopiedDisk {
        path: disk.path.clone(),
        capacity_bytes: disk.capacity_bytes,
        making: Making::Made,
    };
    let of = (mark.evacuation, mark.attempt);
    (!disks.is_empty()).then(|| Copies { of, are_complete: true, disks: disks.iter().map(copied).collect() })
}

/// The folder and the file's name of a disk.
pub(super) fn folder_and_name(path: &Path) -> Result<(&Path, &str), Trouble> {
    let name = path.file_name().and_then(|name| name.to_str());
    path.parent().zip(name).ok_or_else(|| Trouble::Refused(format!("{} names no file", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain_with(disk: &str) -> String {
        format!(
            "<domain><name>a</name><devices><disk type='file' device='disk'>{disk}<target dev='vda'/></disk></devices></domain>"
        )
    }

    fn described_one(disk: &str) -> Result<LocalDisk, String> {
        let shared = [PathBuf::from("/srv")];
        let found = described(&domain_with(disk), &["vda"], &shared).map_err(|trouble| trouble.to_string())?;
        found.into_iter().next().ok_or_else(|| "nothing".to_owned())
    }

    #[test]
    fn a_disk_is_read_with_what_it_rests_on() {
        let raw = described_one("<source file='/local/a.img'/>").unwrap();
        assert_eq!((raw.target.as_str(), raw.path.to_str(), raw.format), ("vda", Some("/local/a.img"), Format::Raw));
        assert_eq!(copy_flag(std::slice::from_ref(&raw)), sys::VIR_MIGRATE_NON_SHARED_DISK);
        let resting = "<driver type='qcow2'/><source file='/local/a.qcow2'/><backingStore type='file'>\
            <format type='raw'/><source file='/srv/base.img'/><backingStore/></backingStore>";
        let upper = described_one(resting).unwrap();
        assert_eq!((upper.format, upper.backing.len(), upper.backing[0].is_shared), (Format::Qcow2, 1, true));
        assert_eq!(copy_flag(&[upper.clone(), raw.clone()]), sys::VIR_MIGRATE_NON_SHARED_INC);
        let backing =
            |disks: &[LocalDisk]| volumes_for(disks).into_iter().map(|volume| volume.backing).collect::<Vec<_>>();
        assert_eq!(backing(&[upper.clone(), raw.clone()]), [Some((PathBuf::from("/srv/base.img"), Format::Raw)), None]);
        // What rests on an image that only its host has is sent with it, and rests on nothing there.
        let alone = described_one(&resting.replace("/srv", "/local")).unwrap();
        let both = [upper, alone];
        assert_eq!(copy_flag(&both), sys::VIR_MIGRATE_NON_SHARED_DISK);
        assert_eq!(backing(&both), [None, None]);
        assert_eq!(copy_flag(&[]), 0);
    }

    #[test]
    fn what_can_not_be_copied_is_told_with_its_mend() {
        let cases = [
            ("<driver type='vmdk'/><source file='/local/a.vmdk'/>", "its format is vmdk"),
            ("<source volume='a' pool='b'/>", "no file that its definition names"),
            ("<source dev='/dev/sdb'/>", "it is a block device"),
        ];
        for (disk, why) in cases {
            let told = described(
                &domain_with(disk)
                    .replace("type='file'", if why.contains("block") { "type='block'" } else { "type='file'" }),
                &["vda"],
                &[],
            );
            let told = told.unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("shared storage, or except the VM"), "{told}");
        }
        let many: Vec<&str> = vec!["vda"; LOCAL_DISKS_MAX + 1];
        assert!(described("<domain/>", &many, &[]).unwrap_err().to_string().contains("more than 16"));
    }
}
