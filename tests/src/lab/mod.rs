//! The lab: two real sites on one machine, with guests that cost almost nothing.
//!
//! The source's site has one libvirt host, the destination's two. Each has a network, mounts, a host name and process numbers
//! of its own ([`place`]) and a libvirtd of its own ([`libvirtd`]), wired together inside the lab ([`network`]): nothing of the
//! machine's own network or libvirt is touched. Whoever is outside reaches each libvirtd by its unix socket; the hosts reach
//! each other by their addresses, and only they do.
//!
//! The lab knows nothing of muster. It needs root, and what [`packages`] names.

mod capture;
mod certificates;
pub mod command;
pub mod disk;
mod door;
pub mod error;
mod faults;
mod files;
pub mod gate;
pub mod guest;
pub mod judge;
pub mod layout;
mod libvirtd;
mod link;
mod lock;
mod network;
pub mod packages;
mod place;
pub mod processes;
pub mod record;
mod relay;
pub mod serial;
pub mod testing;

pub use capture::Capture;
pub use door::{Door, LIBVIRT_TLS_PORT, SSH_PORT, SshDaemon};
pub use error::LabError;
pub use guest::{Guest, Kind, Order};
pub use judge::{Answer, Opinion};
pub use layout::{Host, Role};
pub use link::RELAY_COMMAND;
pub use record::Record;
pub use relay::Shape;

use command::{Ran, SHORT_LIMIT_MS, attempt, until};
use files::{make_folder, remove_folder, text};
use futures::future::{try_join_all, try_join3};
use futures::{StreamExt, TryStreamExt};
use layout::{Layout, SWITCH};
use lock::Lock;
use std::path::PathBuf;

/// Guests that are defined and started at the same time.
const STARTING_AT_ONCE: usize = 4;
/// Most guests of a lab.
pub const GUESTS_MAX: u16 = 500;
/// How long a command that moves a guest may take, in milliseconds.
pub const LONG_LIMIT_MS: u64 = 600_000;

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    layout: Layout,
    record: Record,
}

impl Lab {
    /// Brings a lab up. What is left of an earlier one of this name is taken down first, unless it is whole.
    ///
    /// # Errors
    /// Where root or a package is missing, where one of this name is up, and whatever goes wrong; nothing is left then.
    pub async fn up(name: &str) -> Result<Self, LabError> {
        let layout = Layout::new(name)?;
        is_root()?;
        if let Some((program, package)) = packages::missing().first().copied() {
            return Err(LabError::Missing { program, package });
        }
        let lock = Lock::take()?;
        if Self::open(name).is_ok_and(|lab| lab.is_whole()) {
            return Err(LabError::AlreadyUp { name: name.to_owned() });
        }
        take_down(&layout)?;
        let built = build(&layout).await;
        let built = match built {
            Ok(record) => record.write(&layout).map(|()| record),
            Err(error) => Err(error),
        };
        match built {
            Ok(record) => Ok(Self { layout, record }),
            Err(error) => {
                // The failure that began it says more than one of the clearing.
                let _ = take_down(&layout);
                drop(lock);
                Err(error)
            }
        }
    }

    /// The names of the labs that are up on this machine, or that something is left of.
    #[must_use]
    pub fn names() -> Vec<String> {
        let entries = std::fs::read_dir(layout::STATE_ROOT).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// A lab that is up already, as its `lab.json` describes it.
    ///
    /// # Errors
    /// [`LabError::NotUp`] and whatever keeps its `lab.json` from being read.
    pub fn open(name: &str) -> Result<Self, LabError> {
        let layout = Layout::new(name)?;
        let record = Record::read(&layout)?;
        Ok(Self { layout, record })
    }

    /// Takes a lab down: its processes, with them its namespaces, links and mounts, then its folder. One that is not there is
    /// down already. Blocks for some seconds at most.
    ///
    /// # Errors
    /// Where root is missing, or something can't be ended or removed.
    pub fn down(name: &str) -> Result<(), LabError> {
        let layout = Layout::new(name)?;
        is_root()?;
        let _lock = Lock::take()?;
        take_down(&layout)
    }

    /// Whether all its places and all its libvirtds are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Ok(found) = processes::of_lab(self.layout.name()) else { return false };
        let has = |wanted: &str, is: &dyn Fn(&processes::Process) -> bool| {
            found.iter().any(|process| process.place == wanted && is(process))
        };
        let hosts = self.record.hosts.iter();
        has(SWITCH, &place::is_holder)
            && hosts.clone().all(|host| has(&host.name, &place::is_holder))
            && hosts.clone().all(|host| has(&host.name, &|process| process.is("libvirtd")))
    }

    /// The folder of the certificate that whoever calls from outside shows, as libvirt's `pkipath` wants it.
    #[must_use]
    pub fn caller_certificates(&self) -> PathBuf {
        self.layout.caller()
    }

    /// What it consists of.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// A host.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`].
    pub fn host(&self, name: &str) -> Result<&Host, LabError> {
        let mut hosts = self.record.hosts.iter();
        hosts.find(|host| host.name == name).ok_or_else(|| LabError::NoSuchHost { host: name.to_owned() })
    }

    /// The host that guests are started on: the source's.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`], where `lab.json` was edited.
    pub fn source(&self) -> Result<&Host, LabError> {
        let mut hosts = self.record.hosts.iter();
        hosts.find(|host| host.role == Role::Source).ok_or_else(|| LabError::NoSuchHost { host: "source".to_owned() })
    }

    /// A guest.
    ///
    /// # Errors
    /// [`LabError::NoSuchGuest`].
    pub fn guest(&self, name: &str) -> Result<&Guest, LabError> {
        let mut guests = self.record.guests.iter();
        guests.find(|guest| guest.name == name).ok_or_else(|| LabError::NoSuchGuest { guest: name.to_owned() })
    }

    /// Runs `virsh` against a host, from outside, as an outsider would.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or virsh can't be run or does not end in [`LONG_LIMIT_MS`]; virsh's own failures
    /// are in what it gives.
    pub async fn virsh(&self, host: &str, arguments: &[&str]) -> Result<Ran, LabError> {
        let host = self.host(host)?;
        let command: Vec<&str> = ["virsh", "--connect", &host.libvirt_uri].iter().chain(arguments).copied().collect();
        attempt(&command, LONG_LIMIT_MS).await
    }

    /// Runs a program inside a host's namespaces.
    ///
    /// # Errors
    /// Where the host is none of the lab's or not there, or the program can't be run or does not end within `limit_ms`
    /// milliseconds.
    pub async fn inside(&self, host: &str, command: &[&str], limit_ms: u64) -> Result<Ran, LabError> {
        place::attempt_at_home(self.holder(host)?, command, limit_ms).await
    }

    /// The number of the process that holds a host's namespaces, or the switch's: what `nsenter --target` wants.
    ///
    /// # Errors
    /// [`LabError::NoSuchHost`] where it is not there.
    pub fn holder(&self, place: &str) -> Result<u32, LabError> {
        let holder = place::holder(&self.layout, place)?;
        holder.ok_or_else(|| LabError::NoSuchHost { host: place.to_owned() })
    }

    /// Adds guests: makes their disks, defines them at the source, persistent, and starts them. Gives their names.
    ///
    /// # Errors
    /// Where a number of the order is out of range, there would be too many, or libvirt refuses.
    pub async fn add_guests(&mut self, count: u16, order: &Order) -> Result<Vec<String>, LabError> {
        let lock = Lock::take()?;
        self.record = Record::read(&self.layout)?;
        let source = self.source()?.clone();
        let before = u16::try_from(self.record.guests.len()).unwrap_or(u16::MAX);
        if count == 0 || count > GUESTS_MAX.saturating_sub(before) {
            let most = GUESTS_MAX.saturating_sub(before).into();
            return Err(LabError::OutOfRange { what: "guests", least: 1, most, given: count.into() });
        }
        for number in before + 1..=before + count {
            self.record.guests.push(guest::make(&self.layout, number, order, &source.local_folder)?);
        }
        self.record.write(&self.layout)?;
        drop(lock);
        let added = &self.record.guests[before.into()..];
        let started = futures::stream::iter(added.iter().map(|guest| self.start(&source, guest)));
        started.buffer_unordered(STARTING_AT_ONCE).try_collect::<()>().await?;
        Ok(added.iter().map(|guest| guest.name.clone()).collect())
    }

    async fn start(&self, host: &Host, guest: &Guest) -> Result<(), LabError> {
        self.virsh(&host.name, &["define", text(&guest.definition)]).await?.well()?;
        self.virsh(&host.name, &["start", &guest.name]).await?.well().map(|_| ())
    }
}

fn is_root() -> Result<(), LabError> {
    // The owner of one's own folder in /proc is who one is.
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata("/proc/self").map(|metadata| metadata.uid());
    if matches!(owner, Ok(0)) { Ok(()) } else { Err(LabError::NotRoot) }
}

async fn build(layout: &Layout) -> Result<Record, LabError> {
    make_folder(&layout.state())?;
    let hosts = layout.hosts();
    let places = [SWITCH].into_iter().chain(hosts.iter().map(|host| host.name.as_str()));
    let (holders, (), ()) = try_join3(
        try_join_all(places.map(|place| place::make(layout, place))),
        guest::assemble(layout),
        certificates::make(layout, &hosts),
    )
    .await?;
    let switch = holders[0];
    // What is under /sys/class/net has to be the switch's own, to find its tap devices.
    place::run_at_home(switch, &["mount", "-t", "sysfs", "sysfs", "/sys"]).await?;
    network::wire_switch(switch, ["north", "south"]).await?;
    let mut pairs = hosts.iter().zip(holders.iter().skip(1).copied());
    if let Some((first, holder)) = pairs.next() {
        make_host(layout, first, switch, holder, None).await?;
        try_join_all(pairs.map(|(host, holder)| make_host(layout, host, switch, holder, Some(first)))).await?;
    }
    Ok(Record {
        name: layout.name().to_owned(),
        shared_folder: layout.shared(),
        local_folder: layout.local(),
        network: layout::NETWORK.to_owned(),
        hosts,
        guests: Vec::new(),
    })
}

/// Makes a host. What its libvirtd would ask QEMU, for seconds, it is told by `like`, a host that has asked already.
async fn make_host(
    layout: &Layout,
    host: &Host,
    switch: u32,
    holder: u32,
    like: Option<&Host>,
) -> Result<(), LabError> {
    network::wire_host(switch, holder, host).await?;
    libvirtd::furnish(layout, host, holder).await?;
    if let Some(like) = like {
        let [from, to] = [like, host].map(|host| layout.place(&host.name).join("cache"));
        command::run(&["cp", "-a", text(&from.join("qemu")), text(&to)]).await?;
    }
    libvirtd::start(holder).await?;
    let answers = format!("an answer of the libvirtd of {}", host.name);
    until(&answers, SHORT_LIMIT_MS, async || {
        Ok(attempt(&["virsh", "--connect", &host.libvirt_uri, "capabilities"], SHORT_LIMIT_MS).await?.success)
    })
    .await?;
    libvirtd::equip(layout, host, holder).await
}

/// Processes first: when the last is gone, the kernel has taken the namespaces, links and mounts away with it.
fn take_down(layout: &Layout) -> Result<(), LabError> {
    processes::end(layout.name(), |_| true)?;
    remove_folder(&layout.state())
}
