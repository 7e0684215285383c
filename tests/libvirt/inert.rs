//! What muster stores is inert on a real hypervisor: libvirt itself refuses to start it, and says why.

use crate::stand::{Stand, sealing, vm_of};
use muster_core::definition::Definition;
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::reading::{Instance, Mark, Sight, Stored};
use muster_core::terms::Tuning;
use muster_core::token::Token;
use muster_tests::lab::{Kind, Role};
use muster_worker::hypervisor::{Call, Hypervisor, VmChange};
use std::sync::Arc;
use std::time::Duration;

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The drivers of both sides, and one guest.
pub(crate) struct Pair {
    pub(crate) source: Arc<dyn Hypervisor>,
    pub(crate) destination: Arc<dyn Hypervisor>,
    pub(crate) here: HostName,
    pub(crate) there: HostName,
    pub(crate) vm: VmId,
    pub(crate) name: String,
    pub(crate) mark: Mark,
    definition: Definition,
    site: String,
}

impl Pair {
    pub(crate) async fn of(stand: &Stand) -> Pair {
        let record = stand.lab.record();
        let at = |role| record.hosts.iter().find(|host| host.role == role).unwrap();
        let guest = &record.guests[0];
        let source = stand.driver(Role::Source, None).await.unwrap();
        let here: HostName = at(Role::Source).name.parse().unwrap();
        Pair {
            definition: source.definition(&here, vm_of(guest)).await.unwrap(),
            source,
            destination: stand.driver(Role::Destination, None).await.unwrap(),
            here,
            there: at(Role::Destination).name.parse().unwrap(),
            vm: vm_of(guest),
            name: guest.name.clone(),
            mark: Mark { evacuation: EvacuationId(vm_of(guest).0), attempt: Attempt::FIRST, token: Token::new(1, 1) },
            site: at(Role::Destination).site.clone(),
        }
    }

    pub(crate) async fn at_source(&self, change: VmChange) -> Result<(), String> {
        let call = Call { vm: self.vm, host: self.here.clone(), change };
        self.source.call(call).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn at_destination(&self, change: VmChange) -> Result<(), String> {
        let call = Call { vm: self.vm, host: self.there.clone(), change };
        self.destination.call(call).await.map_err(|error| error.to_string())
    }

    pub(crate) fn seal() -> VmChange {
        sealing("sealed-by-this-test")
    }

    /// Placeholder, seal and transfer; until it has arrived.
    pub(crate) async fn hand_over(&self) {
        let definition = self.definition.clone();
        let place = VmChange::DefinePlaceholder { definition: definition.clone(), mark: self.mark };
        self.at_destination(place).await.unwrap();
        self.at_source(Pair::seal()).await.unwrap();
        let transfer = VmChange::BeginTransfer {
            destination_site: self.site.parse().unwrap(),
            destination_host: self.there.clone(),
            definition,
            mark: self.mark,
            tuning: Tuning::default(),
        };
        self.at_source(transfer).await.unwrap();
        let is_off = |sight: &Sight| {
            sight.sightings.iter().all(|seen| seen.job.is_none() && matches!(seen.instance, Instance::Off(_)))
        };
        until(&self.source, self.vm, is_off).await;
        until(&self.destination, self.vm, |sight| sight.sightings.iter().all(|seen| seen.job.is_none())).await;
    }

    pub(crate) async fn give_back(&self) {
        let real = VmChange::DefineReal { definition: self.definition.clone(), mark: None };
        self.at_source(real).await.unwrap();
    }

    pub(crate) async fn stored(&self, driver: &Arc<dyn Hypervisor>) -> (Stored, Instance) {
        let sight = driver.look(&[self.vm]).await.unwrap().remove(0);
        let [seen] = sight.sightings.as_slice() else { panic!("{sight:?}") };
        (seen.stored, seen.instance)
    }
}

pub(crate) async fn until(driver: &Arc<dyn Hypervisor>, vm: VmId, fits: impl Fn(&Sight) -> bool) -> Sight {
    let looking = async {
        loop {
            let sight = driver.look(&[vm]).await.unwrap().remove(0);
            if fits(&sight) {
                return sight;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.expect("in time")
}

/// What virsh says to a start that has to fail.
async fn no_start(stand: &Stand, host: &HostName, guest: &str) -> String {
    let ran = stand.lab.virsh(host.as_str(), &["start", guest]).await.unwrap();
    assert!(!ran.success, "it could be started: {ran:?}");
    format!("{ran:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inert_can_be_started_and_the_refusal_says_why() {
    let Some(stand) = Stand::up("inert", &[(Kind::Quiet, 1)]).await else { return };
    let pair = Pair::of(&stand).await;
    let definition = pair.definition.clone();
    let place = VmChange::DefinePlaceholder { definition: definition.clone(), mark: pair.mark };
    pair.at_destination(place).await.unwrap();
    let said = no_start(&stand, &pair.there, &pair.name).await;
    let whose = pair.mark.evacuation.to_string();
    assert!(said.contains("/muster/placeholder-not-runnable/") && said.contains(&whose), "{said}");
    pair.hand_over().await;
    assert_eq!(pair.stored(&pair.source).await.0, Stored::Sealed);
    let said = no_start(&stand, &pair.here, &pair.name).await;
    assert!(said.contains("/muster/sealed-not-runnable/sealed-by-this-test"), "{said}");
    assert_eq!(pair.stored(&pair.destination).await, (Stored::Arrived, Instance::Paused));
    pair.at_source(VmChange::DefineRetired { reason: "retired-by-this-test".to_owned() }).await.unwrap();
    let said = no_start(&stand, &pair.here, &pair.name).await;
    assert!(said.contains("/muster/retired-not-runnable/retired-by-this-test"), "{said}");
    // Its memory is lost before its event: it must not begin anew from its disk.
    stand.lab.virsh(pair.there.as_str(), &["destroy", &pair.name]).await.and_then(|ran| ran.well()).unwrap();
    let said = no_start(&stand, &pair.there, &pair.name).await;
    assert!(said.contains("/muster/arrived-not-runnable/") && said.contains(&whose), "{said}");
    assert_eq!(pair.stored(&pair.destination).await.0, Stored::Arrived);
    pair.at_destination(VmChange::Start).await.unwrap_err();
    // What comes after its event gives the real one back, to the letter.
    pair.at_destination(VmChange::DefineReal { definition: definition.clone(), mark: Some(pair.mark) }).await.unwrap();
    assert_eq!(pair.destination.definition(&pair.there, pair.vm).await.unwrap(), definition);
    pair.at_destination(VmChange::Start).await.unwrap();
    assert_eq!(pair.stored(&pair.destination).await, (Stored::Real, Instance::Running));
}

/// A document that is another VM's would take the place of that one's own definition.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_defined_by_another_vms_document() {
    let Some(stand) = Stand::up("another", &[(Kind::Quiet, 1)]).await else { return };
    let mut pair = Pair::of(&stand).await;
    let own = pair.vm;
    pair.vm = VmId(uuid::Uuid::from_u128(7));
    let definition = Definition { name: "stranger".parse().unwrap(), ..pair.definition.clone() };
    let changes = [
        VmChange::DefinePlaceholder { definition: definition.clone(), mark: pair.mark },
        VmChange::DefineReal { definition: definition.clone(), mark: None },
        VmChange::DefineReal { definition, mark: Some(pair.mark) },
    ];
    for change in changes {
        let refused = pair.at_source(change.clone()).await.expect_err("it was defined");
        assert!(refused.contains(&format!("its definition is of VM {own}")), "{change:?}: {refused}");
    }
    pair.vm = own;
    assert_eq!(pair.stored(&pair.source).await, (Stored::Real, Instance::Running));
}
