//! Changes to stored definitions: placeholder, sealed, retired, real, and none. Blocking; each tests what it finds first.

use super::config::HostMemory;
use super::copies;
use super::document::{self, Inert};
use super::mark::Note;
use super::trouble::{Trouble, is_no_domain};
use super::view::{self, JobView, View};
use super::volumes;
use muster_core::definition::Definition;
use muster_core::ids::VmId;
use muster_core::reading::{Instance, Mark, OffCause, Seal, Stored};
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::domain::Domain;
use muster_libvirt::virt::sys;
use std::path::PathBuf;

/// What goes with a definition that is taken away. Firmware variables are kept: on shared storage they are the VM's own.
const UNDEFINE: u32 = sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM;

/// What a host has for guests, in MiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) memory_mib: u64,
}

/// What a host has for guests.
pub(super) fn room(connection: &Connect, memory: HostMemory) -> Result<Room, Trouble> {
    let memory_mib = match memory {
        HostMemory::Fixed { memory_mib } => memory_mib,
        // libvirt counts a host's memory in KiB.
        HostMemory::Reported { reserve_mib } => (connection.node_info()?.memory >> 10).saturating_sub(reserve_mib),
    };
    Ok(Room { memory_mib })
}

/// A VM that must be here, and without a job.
pub(super) fn still(connection: &Connect, vm: VmId) -> Result<View, Trouble> {
    let Some(view) = view::read(connection, vm)? else {
        return Err(Trouble::Refused("no such VM here".to_owned()));
    };
    if view.job == JobView::Nothing { Ok(view) } else { Err(Trouble::Busy) }
}

/// Defines a placeholder. The caller holds the host's admission.
pub(super) fn placeholder(
    connection: &Connect,
    vm: VmId,
    definition: &Definition,
    mark: Mark,
    (room, shared): (Room, &[PathBuf]),
) -> Result<(), Trouble> {
    let here = view::read(connection, vm)?;
    if let Some(view) = &here {
        may_give_way(view, mark)?;
    }
    if let Some(other) = named(connection, definition.name.as_str())?
        && other.uuid_string()? != vm.0.hyphenated().to_string()
    {
        let name = &definition.name;
        return Err(Trouble::Refused(format!("another VM with the name {name} is here; rename one of them first")));
    }
    check_room(connection, vm, definition.memory_mib, room)?;
    let reason = format!("the placeholder of evacuation {}, attempt {}", mark.evacuation, mark.attempt);
    let document =
        document::make_inert(&definition.document, Inert::Placeholder, &Note { mark: Some(mark), seal: None, reason })?;
    let known = here.as_ref().and_then(|view| volumes::known_from(view, mark, shared));
    let document = copies::kept(document, known.as_ref())?;
    if let Some(view) = here
        && (view.has_image || view.facts.name != definition.name.as_str())
    {
        // libvirt changes no domain's name by defining it anew, and keeps its image.
        undefine(&view.domain, Image::GoesIfAny)?;
    }
    define(connection, &document, false)
}

/// Takes what gives way to a placeholder elsewhere on the site off this host.
pub(super) fn give_way(connection: &Connect, vm: VmId, mark: Mark) -> Result<(), Trouble> {
    let Some(view) = view::read(connection, vm)? else { return Ok(()) };
    may_give_way(&view, mark)?;
    volumes::delete_made(connection, &view)?;
    undefine(&view.domain, Image::GoesIfAny)
}

/// Whether what is here may be replaced by a placeholder with this mark.
pub(super) fn may_give_way(view: &View, mark: Mark) -> Result<(), Trouble> {
    if view.job != JobView::Nothing {
        return Err(Trouble::Busy);
    }
    let is_ours = view.facts.note.mark.is_some_and(|old| old.evacuation == mark.evacuation);
    let is_inert = matches!(view.stored(), Stored::Placeholder | Stored::Arrived | Stored::Retired);
    if view.is_active() || !(is_ours || is_inert) {
        return Err(Trouble::Refused("a VM with this UUID is here already".to_owned()));
    }
    match view.stored() {
        // Its event stands: what an image has of it is older than what has run elsewhere since.
        Stored::Retired => Ok(()),
        Stored::Nothing | Stored::Real | Stored::Placeholder | Stored::Arrived | Stored::Sealed => {
            view.must_have_no_image()
        }
    }
}

/// Makes what is stored inert; autostart off.
pub(super) fn inert(
    connection: &Connect,
    vm: VmId,
    kind: Inert,
    (reason, seal): (String, Option<Seal>),
) -> Result<(), Trouble> {
    let view = still(connection, vm)?;
    if kind == Inert::Retired && view.is_active() {
        return Err(Trouble::Refused("its guest is still here".to_owned()));
    }
    view.must_have_no_image()?;
    if let Some(trouble) = view.facts.trouble {
        return Err(trouble.into());
    }
    let note = Note { mark: view.facts.note.mark, seal, reason };
    define(connection, &document::make_inert(&view.facts.real, kind, &note)?, false)
}

/// Stores the real definition. The caller holds the host's admission.
pub(super) fn real(
    connection: &Connect,
    vm: VmId,
    definition: &Definition,
    mark: Option<Mark>,
    room: Room,
) -> Result<(), Trouble> {
    let here = view::read(connection, vm)?;
    if here.as_ref().is_some_and(|view| view.job != JobView::Nothing) {
        return Err(Trouble::Busy);
    }
    match mark {
        Some(_) => {
            check_room(connection, vm, definition.memory_mib, room)?;
            let note = Note { mark, seal: None, reason: String::new() };
            let copies = here.and_then(|view| view.facts.copies);
            let document = copies::kept(document::with_note(&definition.document, &note)?, copies.as_ref())?;
            define(connection, &document, definition.autostart)
        }
        None => define(connection, &definition.document, definition.autostart),
    }
}

/// Ends the instance of an attempt, if it has one and that may be, and takes the definition away, with the
/// disks that were made for it.
pub(super) fn remove(connection: &Connect, vm: VmId, mark: Mark, may_hold_memory: bool) -> Result<(), Trouble> {
    let Some(view) = view::read(connection, vm)? else { return Ok(()) };
    if view.job != JobView::Nothing {
        return Err(Trouble::Busy);
    }
    may_be_removed(&view, mark, may_hold_memory)?;
    if view.is_active() {
        view.domain.destroy()?;
    }
    // First what was made for it: with its definition goes the record of that.
    volumes::delete_made(connection, &view)?;
    if view.is_stored {
        let image = if may_hold_memory { Image::GoesIfAny } else { Image::Stays };
        undefine(&view.domain, image)?;
    }
    Ok(())
}

/// Takes a retired copy's definition away, with what libvirt keeps of its snapshots and checkpoints. An image of its memory is
/// nobody's to take: it is not that of a copy whose event stands, but of what somebody has run since.
pub(super) fn delete_retired(connection: &Connect, vm: VmId) -> Result<(), Trouble> {
    let Some(view) = view::read(connection, vm)? else { return Ok(()) };
    if view.job != JobView::Nothing {
        return Err(Trouble::Busy);
    }
    if view.stored() != Stored::Retired {
        return Err(Trouble::Refused("what is here is no retired copy".to_owned()));
    }
    if view.is_active() {
        return Err(Trouble::Refused("its guest is here".to_owned()));
    }
    view.must_have_no_image()?;
    undefine(&view.domain, Image::Stays)
}

fn may_be_removed(view: &View, mark: Mark, may_hold_memory: bool) -> Result<(), Trouble> {
    let refused = |why: &str| Err(Trouble::Refused(why.to_owned()));
    let is_its = |old: Mark| (old.evacuation, old.attempt) == (mark.evacuation, mark.attempt);
    if !view.facts.note.mark.is_some_and(is_its) {
        return refused("what is here is not this attempt's");
    }
    match view.instance() {
        Instance::Running => refused("its guest runs"),
        Instance::Paused | Instance::Incoming | Instance::Off(OffCause::Saved) if !may_hold_memory => {
            refused("it holds memory")
        }
        Instance::Paused | Instance::Incoming | Instance::Off(_) => Ok(()),
    }
}

/// What becomes of an image of a VM's memory with its definition. libvirt refuses to leave one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    /// Nobody has proven that its memory is of no use: with an image nothing is done.
    Stays,
    GoesIfAny,
}

fn undefine(domain: &Domain, image: Image) -> Result<(), Trouble> {
    let flags = match image {
        Image::Stays => UNDEFINE,
        Image::GoesIfAny => UNDEFINE | sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE,
    };
    match domain.undefine_flags(flags) {
        Ok(()) => Ok(()),
        Err(error) if is_no_domain(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Inert documents first, and only then their autostart: it is the document that keeps a VM from starting.
fn define(connection: &Connect, document: &str, autostart: bool) -> Result<(), Trouble> {
    let domain = connection.define_domain_xml(document)?;
    if domain.autostart()? != autostart {
        domain.set_autostart(autostart)?;
    }
    Ok(())
}

fn named(connection: &Connect, name: &str) -> Result<Option<Domain>, Trouble> {
    match connection.lookup_domain_by_name(name) {
        Ok(domain) => Ok(Some(domain)),
        Err(error) if is_no_domain(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_room(connection: &Connect, vm: VmId, needed_mib: u64, room: Room) -> Result<(), Trouble> {
    let mut used_mib = 0_u64;
    for view in all(connection)? {
        if uuid(&view)? != vm {
            used_mib = used_mib.saturating_add(view.held_mib());
        }
    }
    let free_mib = room.memory_mib.saturating_sub(used_mib);
    if needed_mib <= free_mib {
        return Ok(());
    }
    Err(Trouble::Refused(format!("no room: {needed_mib} MiB wanted, {free_mib} MiB free")))
}

/// Everything on a host. A VM that can't be read is there all the same, as one of which nothing else is known.
pub(super) fn all(connection: &Connect) -> Result<Vec<View>, Trouble> {
    let mut views = Vec::new();
    for domain in connection.list_all_domains(0)? {
        match view::read_domain(domain.clone()) {
            Ok(view) => views.extend(view),
            Err(trouble) if connection.is_alive().unwrap_or(false) => {
                tracing::warn!(vm = ?domain.uuid(), %trouble, "a VM can't be read");
                views.extend(view::unread(domain, &trouble));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(views)
}

pub(super) fn uuid(view: &View) -> Result<VmId, Trouble> {
    Ok(VmId(view.domain.uuid()?))
}

/// Starts it from its stored definition.
pub(super) fn start(connection: &Connect, vm: VmId) -> Result<(), Trouble> {
    let view = still(connection, vm)?;
    match view.instance() {
        Instance::Running => return Ok(()),
        Instance::Paused | Instance::Incoming => {
            return Err(Trouble::Refused("its guest is here, paused".to_owned()));
        }
        Instance::Off(_) => view.must_have_no_image()?,
    }
    let reason = &view.facts.note.reason;
    let refusal = match view.stored() {
        Stored::Real => None,
        Stored::Placeholder => Some(format!("a placeholder can't be started: {reason}")),
        Stored::Arrived => Some(format!("what arrived can't be started before its event: {reason}")),
        Stored::Sealed => Some(format!("a sealed VM can't be started: {reason}")),
        Stored::Retired => Some(format!("Not Runnable: {reason}")),
        Stored::Nothing => Some("no definition is stored".to_owned()),
    };
    match refusal {
        Some(message) => Err(Trouble::Refused(message)),
        None => Ok(view.domain.create().map(|_| ())?),
    }
}

/// Lets its paused instance run on.
pub(super) fn resume(connection: &Connect, vm: VmId) -> Result<(), Trouble> {
    let view = still(connection, vm)?;
    match view.instance() {
        Instance::Running => Ok(()),
        Instance::Off(_) | Instance::Incoming => Err(Trouble::Refused("it has no whole instance to resume".to_owned())),
        Instance::Paused => {
            view.domain.resume()?;
            announce(&view.domain, vm);
            Ok(())
        }
    }
}

/// QEMU announces a guest's addresses when it arrives; the switches may have learnt otherwise by the time it runs. That the
/// guest runs is what counts: a network that learns it later is told of in the traces.
fn announce(domain: &Domain, vm: VmId) {
    const COMMAND: &str = r#"{"execute":"announce-self","arguments":{"initial":50,"max":550,"rounds":5,"step":100}}"#;
    if let Err(error) = domain.qemu_monitor_command(COMMAND, 0) {
        tracing::warn!(%vm, error = error.message(), "its addresses were not announced");
    }
}

/// Asks the guest to shut down. Returns whether it has an instance that it could.
pub(super) fn ask_to_shut_down(connection: &Connect, vm: VmId) -> Result<bool, Trouble> {
    let view = still(connection, vm)?;
    match view.instance() {
        Instance::Off(_) => Ok(false),
        Instance::Paused | Instance::Incoming => {
            Err(Trouble::Refused("its guest is paused and can't shut down".to_owned()))
        }
        Instance::Running => {
            view.domain.shutdown().map(|_| ())?;
            Ok(true)
        }
    }
}

/// Ends the job on it, if there is one.
pub(super) fn abort(connection: &Connect, vm: VmId) -> Result<(), Trouble> {
    let Some(view) = view::read(connection, vm)? else {
        return Err(Trouble::Refused("no such VM here".to_owned()));
    };
    match view.job {
        JobView::Nothing => Ok(()),
        JobView::Unasked => Err(Trouble::Refused("a guest that arrives is aborted where it comes from".to_owned())),
        JobView::Shown(_) => match muster_libvirt::abort_job(&view.domain) {
            Ok(()) => Ok(()),
            // It has ended meanwhile.
            Err(_) if matches!(view::read(connection, vm)?.map(|view| view.job), None | Some(JobView::Nothing)) => {
                Ok(())
            }
            Err(error) => Err(error.into()),
        },
    }
}
