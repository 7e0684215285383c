//! The lab's guests: 512 bytes of boot sector and a little more, 8 MiB of RAM, a counter in memory and a sequence on disk.
//! What they do is said in tests/lab/guest.s.

use super::command::run;
use super::disk::{self, Configuration};
use super::error::LabError;
use super::files::{read, text, write};
use super::layout::{Layout, NETWORK};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The guest's program.
const SOURCE: &str = include_str!("../../lab/guest.s");
/// Memory of a guest where nothing else is asked for, in MiB.
pub const MEMORY_MIB: u32 = 8;
/// Memory of a dirtying guest where nothing else is asked for, in MiB.
pub const DIRTY_MEMORY_MIB: u32 = 128;
/// Memory that a dirtying guest leaves alone, in MiB.
const QUIET_MIB: u32 = 4;
/// Kibibytes that a dirtying guest rewrites in a second where nothing else is asked for: 64 MiB.
pub const DIRTY_KIB_PER_SECOND: u32 = 65_536;
/// Disk of a guest where nothing else is asked for, in MiB: room for two hours of records.
pub const DISK_MIB: u32 = 4;
/// Disk of a guest with a local disk where nothing else is asked for, in MiB.
pub const LOCAL_DISK_MIB: u32 = 32;
/// Timer ticks from record to record: about a second.
const PERIOD_TICKS: u32 = 18;

/// What kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Counts, on a shared disk.
    Quiet,
    /// Also rewrites its memory all the time, so that a transfer is long or never ends by itself.
    Dirty,
    /// Counts, on a disk that only its host sees, so that storage has to be copied.
    Local,
}

/// A guest that is to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// What kind.
    pub kind: Kind,
    /// Its memory, 8 to 2048 MiB.
    pub memory_mib: u32,
    /// What it rewrites in a second, 0 to 4194304 KiB; only the dirty kind does.
    pub dirty_kib_per_second: u32,
    /// Its disk, 1 to 4096 MiB.
    pub disk_mib: u32,
}

impl Order {
    /// A guest of this kind, with nothing else asked for.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Quiet => Self { kind, memory_mib: MEMORY_MIB, dirty_kib_per_second: 0, disk_mib: DISK_MIB },
            Kind::Dirty => Self {
                kind,
                memory_mib: DIRTY_MEMORY_MIB,
                dirty_kib_per_second: DIRTY_KIB_PER_SECOND,
                disk_mib: DISK_MIB,
            },
            Kind::Local => Self { kind, memory_mib: MEMORY_MIB, dirty_kib_per_second: 0, disk_mib: LOCAL_DISK_MIB },
        }
    }

    fn check(&self) -> Result<(), LabError> {
        let ranges = [
            ("memory_mib", 8, 2048, self.memory_mib),
            ("dirty_kib_per_second", 0, 4_194_304, self.dirty_kib_per_second),
            ("disk_mib", 1, 4096, self.disk_mib),
        ];
        for (what, least, most, given) in ranges {
            if !(least..=most).contains(&given) {
                return Err(LabError::OutOfRange { what, least: least.into(), most: most.into(), given: given.into() });
            }
        }
        Ok(())
    }
}

/// A guest of the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// What kind it is.
    pub kind: Kind,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// Its network card's address.
    pub mac: String,
    /// Its disk, as its host sees it.
    pub disk: PathBuf,
    /// Its definition as it was first given to libvirt, from outside.
    pub definition: PathBuf,
}

/// Assembles the guests' program.
pub(super) async fn assemble(layout: &Layout) -> Result<(), LabError> {
    let (source, object, program) = (in_state(layout, "guest.s"), in_state(layout, "guest.o"), program(layout));
    write(&source, SOURCE)?;
    run(&["as", "--32", "-o", text(&object), text(&source)]).await?;
    let link = ["ld", "-m", "elf_i386", "-N", "-Ttext=0x7c00", "-e", "start", "--oformat", "binary"];
    let files = ["-o", text(&program), text(&object)];
    run(&link.into_iter().chain(files).collect::<Vec<_>>()).await.map(|_| ())
}

fn program(layout: &Layout) -> PathBuf {
    in_state(layout, "guest.bin")
}

fn in_state(layout: &Layout, name: &str) -> PathBuf {
    layout.state().join(name)
}

/// Makes a guest's disk and definition. `number` counts the lab's guests, from 1; `local` is its host's own folder of disks.
pub(super) fn make(layout: &Layout, number: u16, order: &Order, local: &std::path::Path) -> Result<Guest, LabError> {
    order.check()?;
    let name = format!("vm{number}");
    let [high, low] = number.to_be_bytes();
    let file = format!("{name}.img");
    let (inside, outside) = match order.kind {
        Kind::Quiet | Kind::Dirty => (layout.shared().join(&file), layout.shared().join(&file)),
        Kind::Local => (layout.local().join(&file), local.join(&file)),
    };
    let seed = format!("{}/{name}", layout.name());
    let guest = Guest {
        uuid: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes()).to_string(),
        kind: order.kind,
        memory_mib: order.memory_mib,
        mac: format!("52:54:00:4d:{high:02x}:{low:02x}"),
        disk: inside,
        definition: in_state(layout, &format!("{name}.xml")),
        name,
    };
    let hot_kib = order.memory_mib.saturating_sub(QUIET_MIB) * 1024;
    let dirty = match order.kind {
        Kind::Dirty => order.dirty_kib_per_second,
        Kind::Quiet | Kind::Local => 0,
    };
    let configuration = Configuration {
        name: &guest.name,
        period_ticks: PERIOD_TICKS,
        dirty_pages_per_tick: dirty.div_ceil(4).div_ceil(PERIOD_TICKS),
        hot_pages: if dirty == 0 { 0 } else { hot_kib / 4 },
    };
    // What is to be copied has to be worth copying.
    let filled = matches!(order.kind, Kind::Local);
    disk::make(&outside, &read(&program(layout))?, &configuration, order.disk_mib, filled)?;
    write(&guest.definition, definition(layout, &guest))?;
    Ok(guest)
}

/// No KVM and a CPU model of its own: it has to run, and to move, on any machine. Shared disks are shareable, so that no file
/// lock of QEMU's hides a second writer from the lab's judge.
fn definition(layout: &Layout, guest: &Guest) -> String {
    let Guest { name, uuid, memory_mib, mac, .. } = guest;
    let shareable = match guest.kind {
        Kind::Quiet | Kind::Dirty => "<shareable/>",
        Kind::Local => "",
    };
    let (disk, serial) = (guest.disk.display(), layout.serial().join(format!("{name}.log")));
    format!(
        "<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/><source file='{disk}'/><target dev='vda' bus='virtio'/>{shareable}
    </disk>
    <interface type='network'>
      <mac address='{mac}'/><source network='{NETWORK}'/><model type='virtio'/><rom enabled='no'/>
    </interface>
    <serial type='file'><source path='{serial}' append='on'/><target port='0'/></serial>
    <controller type='usb' model='none'/><memballoon model='none'/><video><model type='none'/></video>
  </devices>
</domain>
",
        serial = serial.display()
    )
}
