//! A lab for one test, with the drivers of its two sites.

use async_trait::async_trait;
use muster_core::definition::Mode;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::reading::{Instance, Seal};
use muster_core::token::Token;
use muster_tests::lab::{Guest, Kind, Lab, LabError, Order, Role};
use muster_tests::sites::libvirt_configuration;
use muster_worker::hypervisor::conformance::{Fixture, Stage, Subject};
use muster_worker::hypervisor::libvirt::LibvirtHypervisors;
use muster_worker::hypervisor::libvirt::config::Config;
use muster_worker::hypervisor::{Hypervisor, VmChange};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use uuid::Uuid;

/// So slow that a guest that rewrites its memory never gets away, in MiB per second.
const SLOW_MIB_S: u64 = 2;

/// A sealing for this reason, of nobody's evacuation.
pub(crate) fn sealing(reason: &str) -> VmChange {
    let seal = Seal {
        evacuation: EvacuationId(Uuid::from_u128(7)),
        token: Token::new(1, 1),
        mode: Mode::Live,
        source_site: "north".parse().unwrap(),
        destination_site: "south".parse().unwrap(),
        destination_host: "south-1".parse().unwrap(),
        autostart: false,
    };
    VmChange::DefineSealed { reason: reason.to_owned(), seal: Box::new(seal) }
}

/// A lab that goes when it is dropped.
pub(crate) struct Stand {
    name: String,
    pub(crate) lab: Lab,
    given: Mutex<Vec<String>>,
}

impl Stand {
    /// None where there can be no lab, which is said.
    pub(crate) async fn up(word: &str, guests: &[(Kind, u16)]) -> Option<Stand> {
        // Of this process's own: several may test at the same time.
        let name = format!("t{}-{word}", std::process::id());
        match Lab::up(&name).await {
            Ok(lab) => {
                let mut stand = Stand { name, lab, given: Mutex::default() };
                for (kind, count) in guests {
                    stand.lab.add_guests(*count, &Order::of(*kind)).await.expect("guests");
                }
                Some(stand)
            }
            Err(error @ (LabError::NotRoot | LabError::Missing { .. })) => {
                eprintln!("left out, nothing was tested on real hypervisors: {error}");
                None
            }
            Err(error) => panic!("no lab: {error}"),
        }
    }

    /// What a virsh command says; none if it fails.
    pub(crate) async fn virsh(&self, host: &str, arguments: &[&str]) -> Option<String> {
        self.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).ok()
    }

    /// The driver of the site of one role.
    pub(crate) async fn driver(&self, role: Role, bandwidth_mib_s: Option<u64>) -> Result<Arc<dyn Hypervisor>, String> {
        let text = libvirt_configuration(self.lab.record(), role, bandwidth_mib_s);
        let config = Config::parse(&text).map_err(|error| error.to_string())?;
        let driver = LibvirtHypervisors::start(config).map_err(|error| error.to_string())?;
        // It connects by itself; a case wants it connected, and past what an older one may have left behind.
        for _ in 0..200 {
            let inventory = driver.inventory().await.map_err(|error| error.to_string())?;
            let sights = driver.look(&[VmId(Uuid::nil())]).await.map_err(|error| error.to_string())?;
            let is_settled = sights.iter().all(|sight| !sight.call_under_way);
            if is_settled && inventory.hosts.iter().all(|host| host.answers) {
                return Ok(Arc::new(driver));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err("a host of the lab doesn't answer".to_owned())
    }
}

/// A guest's id.
pub(crate) fn vm_of(guest: &Guest) -> VmId {
    guest.uuid.parse().unwrap()
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(&self.name) {
            eprintln!("the lab is left behind: {error}");
        }
    }
}

#[async_trait]
impl Fixture for Stand {
    async fn stage(&self, subject: Subject) -> Result<Stage, String> {
        let (kind, bandwidth_mib_s) = match subject {
            Subject::Quiet => (Kind::Quiet, None),
            Subject::Endless => (Kind::Dirty, Some(SLOW_MIB_S)),
            Subject::LocalDisk => (Kind::Local, None),
        };
        let told = |error: LabError| error.to_string();
        let (lab, mut given) = (&self.lab, self.given.lock().await);
        let mut guests = lab.record().guests.iter();
        let guest = guests.find(|guest| guest.kind == kind && !given.contains(&guest.name));
        let guest = guest.ok_or("the suite asks for more guests than there are")?;
        given.push(guest.name.clone());
        let number = given.len() as u128;
        let source_host = lab.source().map_err(told)?;
        lab.virsh(&source_host.name, &["autostart", &guest.name]).await.and_then(|ran| ran.well()).map_err(told)?;
        let (source, destination) =
            (self.driver(Role::Source, bandwidth_mib_s).await?, self.driver(Role::Destination, None).await?);
        let vm = vm_of(guest);
        let host = |role| lab.record().hosts.iter().find(move |host| host.role == role).ok_or("no such host");
        let (from, to) = (host(Role::Source)?, host(Role::Destination)?);
        let inventory = source.inventory().await.map_err(|error| error.to_string())?;
        let listed = inventory.vms.into_iter().find(|listed| listed.vm == vm).ok_or("the guest is not listed")?;
        if listed.instance != Instance::Running {
            return Err(format!("the guest does not run: {:?}", listed.instance));
        }
        let parse = |name: &str| name.parse().map_err(|error| format!("{error}"));
        Ok(Stage {
            source,
            destination,
            source_site: parse(&from.site)?,
            source_host: from.name.parse().map_err(|error| format!("{error}"))?,
            destination_site: parse(&to.site)?,
            destination_host: to.name.parse().map_err(|error| format!("{error}"))?,
            vm,
            definition: listed.definition,
            evacuation: EvacuationId(Uuid::from_u128(number)),
        })
    }
}
