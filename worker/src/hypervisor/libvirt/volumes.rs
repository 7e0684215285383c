//! The destination's side of copied disks: volumes that are made for a placeholder, in the pool of the same folder, and taken
//! away again. Blocking.
//!
//! Nothing is ever written over or deleted but what the record in the placeholder says was made for the VM
//! ([`super::copies`]). The record is written first, so that what is made is always somebody's; a placeholder that has
//! gone meanwhile takes no record, and nothing is made.

use super::copies::{self, CopiedDisk, Copies, Making};
use super::disks::{Format, PATH_MAX_BYTES, folder_and_name};
use super::mark::escaped;
use super::survey::pool_path;
use super::trouble::{Trouble, is_no_volume};
use super::view::{self, View};
use muster_core::ids::VmId;
use muster_core::reading::{Mark, Stored};
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::domain::Domain;
use muster_libvirt::virt::storage_pool::StoragePool;
use muster_libvirt::virt::storage_vol::StorageVol;
use muster_libvirt::virt::sys;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a pool is read anew that is busy.
const REFRESH_TRIES: usize = 50;
/// The wait between two of these.
const REFRESH_WAIT: Duration = Duration::from_millis(100);
/// Most that a volume takes that was made and never written to, in bytes.
const EMPTY_MAX_BYTES: u64 = 1 << 20;

/// A volume that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewVolume {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// Of the volume as it is made.
    pub(super) capacity_bytes: u64,
    /// Of the disk, as its guest sees it.
    pub(super) disk_bytes: u64,
    /// What it rests on, and how that is laid out.
    pub(super) backing: Option<(PathBuf, Format)>,
}

/// The token grows from command to command; what a placeholder belongs to is the attempt.
pub(super) fn is_its_placeholder(view: &View, mark: Mark) -> bool {
    let is_its =
        view.facts.note.mark.is_some_and(|old| (old.evacuation, old.attempt) == (mark.evacuation, mark.attempt));
    is_its && view.stored() == Stored::Placeholder && !view.is_active()
}

/// Makes the volumes for a placeholder anew, empty, and records them there.
pub(super) fn make(connection: &Connect, vm: VmId, mark: Mark, volumes: &[NewVolume]) -> Result<(), Trouble> {
    let view = placeholder(connection, vm, mark)?;
    let earlier = view.facts.copies.as_ref();
    let mut pools: BTreeMap<PathBuf, StoragePool> = BTreeMap::new();
    for volume in volumes {
        let (folder, _) = folder_and_name(&volume.path)?;
        if !pools.contains_key(folder) {
            pools.insert(folder.to_owned(), pool(connection, folder)?);
        }
    }
    let mut in_the_way = Vec::new();
    for volume in volumes {
        let Some(old) = find(&pools, &volume.path)? else { continue };
        if earlier.is_none_or(|copies| copies.find(&volume.path).is_none()) {
            let path = volume.path.display();
            let mend = "see whose it is, and move or delete it";
            return Err(Trouble::Refused(format!("{path} is there already, and muster did not make it; {mend}")));
        }
        in_the_way.push(old);
    }
    // What muster has made once may go whatever comes of it; what it has only found is its own when it is made anew.
    let making = |path: &Path| match earlier.and_then(|copies| copies.find(path)).map(|disk| disk.making) {
        Some(Making::Made) => Making::Made,
        Some(Making::Found | Making::Begun) | None => Making::Begun,
    };
    let mut record = Copies { of: (mark.evacuation, mark.attempt), are_complete: false, disks: Vec::new() };
    record.disks.extend(volumes.iter().map(|volume| CopiedDisk {
        path: volume.path.clone(),
        capacity_bytes: volume.disk_bytes,
        making: making(&volume.path),
    }));
    // An earlier attempt's that this one doesn't need: still to be taken away one day.
    let others = earlier.into_iter().flat_map(|copies| &copies.disks);
    let is_other = |disk: &&CopiedDisk| volumes.iter().all(|volume| volume.path != disk.path);
    record.disks.extend(others.filter(is_other).cloned());
    write(&view.domain, &record)?;
    for old in in_the_way {
        old.delete(0)?;
    }
    check_room(&pools, volumes)?;
    for volume in volumes {
        create(&pools, volume)?;
    }
    let is_new = |disk: &&mut CopiedDisk| volumes.iter().any(|volume| volume.path == disk.path);
    record.disks.iter_mut().filter(is_new).for_each(|disk| disk.making = Making::Made);
    write(&view.domain, &record)
}

/// Records that the copies of this attempt are whole.
pub(super) fn complete(connection: &Connect, vm: VmId, mark: Mark) -> Result<(), Trouble> {
    let view = placeholder(connection, vm, mark)?;
    let of = (mark.evacuation, mark.attempt);
    match view.facts.copies {
        Some(copies) if copies.of == of => write(&view.domain, &Copies { are_complete: true, ..copies }),
        Some(_) | None => Err(Trouble::Failed("the record of its copies is gone".to_owned())),
    }
}

/// Deletes what was made for a VM here, by its own record. Done again it finds nothing more to do.
pub(super) fn delete_made(connection: &Connect, view: &View) -> Result<(), Trouble> {
    let disks = view.facts.copies.iter().flat_map(|copies| &copies.disks);
    for disk in disks.filter(|disk| disk.making != Making::Found) {
        let (folder, name) = folder_and_name(&disk.path)?;
        let Some(volume) = volume(&pool(connection, folder)?, name)? else { continue };
        if disk.making == Making::Made || is_empty(&volume, disk)? {
            volume.delete(0)?;
        } else {
            let path = disk.path.display();
            tracing::warn!(%path, "nobody knows whether muster made this file, so it is left as it is");
        }
    }
    Ok(())
}

/// What is known of the disks of a definition that gives way to a placeholder of this mark. A retired copy's own files stay
/// when it gives way, and are what its VM may come back to.
pub(super) fn known_from(view: &View, mark: Mark, shared: &[PathBuf]) -> Option<Copies> {
    if view.stored() != Stored::Retired {
        return view.facts.copies.clone();
    }
    let own = view.facts.disks.iter().filter(|disk| disk.is_writable && !view::is_shared(&disk.place, shared));
    let found = |path: &Path| CopiedDisk { path: path.to_owned(), capacity_bytes: 0, making: Making::Found };
    let disks: Vec<CopiedDisk> = own.filter_map(|disk| disk.path()).map(found).collect();
    if disks.is_empty() {
        return None;
    }
    Some(Copies { of: (mark.evacuation, mark.attempt), are_complete: false, disks })
}

/// A volume of a host, in whichever pool of the same folder.
pub(super) fn lookup(connection: &Connect, path: &Path) -> Result<StorageVol, Trouble> {
    let (folder, name) = folder_and_name(path)?;
    let missing = || Trouble::Failed(format!("{} is not there", path.display()));
    volume(&pool(connection, folder)?, name)?.ok_or_else(missing)
}

fn placeholder(connection: &Connect, vm: VmId, mark: Mark) -> Result<View, Trouble> {
    let view = view::read(connection, vm)?.filter(|view| is_its_placeholder(view, mark));
    view.ok_or_else(|| Trouble::Refused("its placeholder is not there any more".to_owned()))
}

/// The pool that keeps its volumes in this folder, read anew: it has to know of files that others have put there.
fn pool(connection: &Connect, folder: &Path) -> Result<StoragePool, Trouble> {
    for pool in connection.list_all_storage_pools(sys::VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)? {
        if pool_path(&pool.xml_desc(0)?).as_deref() == Some(folder) {
            refresh(&pool)?;
            return Ok(pool);
        }
    }
    let folder = folder.display();
    Err(Trouble::Refused(format!("no storage pool with the folder {folder} is active there; define and start one")))
}

/// A pool can't be read while a volume is being made in it.
fn refresh(pool: &StoragePool) -> Result<(), Trouble> {
    let mut tries = 0;
    loop {
        match pool.refresh(0) {
            Ok(()) => return Ok(()),
            Err(error) if tries >= REFRESH_TRIES => return Err(error.into()),
            Err(_) => std::thread::park_timeout(REFRESH_WAIT),
        }
        tries += 1;
    }
}

fn find(pools: &BTreeMap<PathBuf, StoragePool>, path: &Path) -> Result<Option<StorageVol>, Trouble> {
    let (folder, name) = folder_and_name(path)?;
    pools.get(folder).map_or(Ok(None), |pool| volume(pool, name))
}

fn volume(pool: &StoragePool, name: &str) -> Result<Option<StorageVol>, Trouble> {
    match pool.lookup_storage_vol_by_name(name) {
        Ok(volume) => Ok(Some(volume)),
        Err(error) if is_no_volume(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Nothing was ever written to it, so that nothing is lost with it.
fn is_empty(volume: &StorageVol, disk: &CopiedDisk) -> Result<bool, Trouble> {
    let info = volume.info()?;
    Ok(info.capacity == disk.capacity_bytes && info.allocation <= EMPTY_MAX_BYTES)
}

fn check_room(pools: &BTreeMap<PathBuf, StoragePool>, volumes: &[NewVolume]) -> Result<(), Trouble> {
    for (folder, pool) in pools {
        let here = volumes.iter().filter(|volume| volume.path.parent() == Some(folder));
        let needed = here.fold(0_u64, |sum, volume| sum.saturating_add(volume.capacity_bytes));
        let free = pool.info()?.available;
        if needed > free {
            let (needed_mib, free_mib, folder) = (needed.div_ceil(1 << 20), free >> 20, folder.display());
            let what = format!("{folder} has {free_mib} MiB free there, and its copied disks need {needed_mib} MiB");
            return Err(Trouble::Refused(what));
        }
    }
    Ok(())
}

fn create(pools: &BTreeMap<PathBuf, StoragePool>, volume: &NewVolume) -> Result<(), Trouble> {
    let (folder, name) = folder_and_name(&volume.path)?;
    let Some(pool) = pools.get(folder) else { return Err(Trouble::Refused("its pool is gone".to_owned())) };
    if volume.path.as_os_str().len() > PATH_MAX_BYTES {
        return Err(Trouble::Refused(format!("the path of a disk has more than {PATH_MAX_BYTES} bytes")));
    }
    let backing = volume.backing.as_ref().map_or_else(String::new, |(path, format)| {
        let (path, format) = (escaped(&path.display().to_string()), format.word());
        format!("<backingStore><path>{path}</path><format type=\"{format}\"/></backingStore>")
    });
    let (name, bytes, format) = (escaped(name), volume.capacity_bytes, volume.format.word());
    let text = format!(
        "<volume><name>{name}</name><capacity unit=\"bytes\">{bytes}</capacity><allocation>0</allocation>\
         <target><format type=\"{format}\"/></target>{backing}</volume>"
    );
    StorageVol::create_xml(pool, &text, 0)?;
    Ok(())
}

fn write(domain: &Domain, record: &Copies) -> Result<(), Trouble> {
    let kind = i32::try_from(sys::VIR_DOMAIN_METADATA_ELEMENT).unwrap_or_default();
    let (prefix, namespace) = (Some(copies::PREFIX), Some(copies::NAMESPACE));
    let (element, flags) = (record.element(), sys::VIR_DOMAIN_AFFECT_CONFIG);
    domain.set_metadata(kind, Some(&element), prefix, namespace, flags)?;
    Ok(())
}
