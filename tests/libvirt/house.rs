//! muster on a lab: a worker for each site and an orchestrator, served in this process, with files of their own.

use muster_core::env::Env;
use muster_core::ids::SiteName;
use muster_orchestrator::{Orchestrator, OrchestratorParts};
use muster_proto::channel::{Counterpart, Dial, SiteAddress, TcpDial};
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_proto::v1::{self as pb, EvacuationState};
use muster_proto::worker::v1::site_client::SiteClient;
use muster_recovery::link::{Patience, SiteLink};
use muster_store::sqlite::{SqliteJournal, SqliteLedger};
use muster_tests::clock::Clock;
use muster_tests::env::SimulatedEnv;
use muster_tests::lab::{Lab, Role};
use muster_tests::sites::libvirt_configuration;
use muster_worker::hypervisor::Hypervisor;
use muster_worker::hypervisor::libvirt::LibvirtHypervisors;
use muster_worker::hypervisor::libvirt::config::Config;
use muster_worker::peers::Peers;
use muster_worker::site::{Site, SiteParts};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

/// Guards against hanging; nothing here takes nearly as long.
const LONGEST: Duration = Duration::from_secs(300);
/// How often it is looked how a move goes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The daemons, until they are dropped.
pub(crate) struct House {
    client: EvacuationsClient<Channel>,
    sites: [SiteName; 2],
    addresses: BTreeMap<SiteName, SiteAddress>,
    _directory: TempDir,
    _end: DropGuard,
}

impl House {
    pub(crate) async fn build(lab: &Lab) -> House {
        Self::build_by(lab, |role| libvirt_configuration(lab.record(), role, None)).await
    }

    /// With a libvirt configuration of one's own for each side.
    pub(crate) async fn build_by(lab: &Lab, configuration: impl Fn(Role) -> String) -> House {
        let directory = tempfile::tempdir().unwrap();
        let end = CancellationToken::new();
        let roles = [Role::Source, Role::Destination];
        let sites = roles.map(|role| {
            let host = lab.record().hosts.iter().find(|host| host.role == role).unwrap();
            host.site.parse::<SiteName>().unwrap()
        });
        let listeners =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let addresses: BTreeMap<SiteName, SiteAddress> =
            sites.iter().cloned().zip(listeners.iter().map(address)).collect();
        for ((name, role), listener) in sites.iter().zip(roles).zip(listeners) {
            let hypervisor = LibvirtHypervisors::start(Config::parse(&configuration(role)).unwrap()).unwrap();
            until_heard(&hypervisor).await;
            let site = Site::start(SiteParts {
                name: name.clone(),
                ledger: Arc::new(SqliteLedger::open(&file(&directory, name.as_str())).unwrap()),
                hypervisor: Arc::new(hypervisor),
                peers: Peers::new(Arc::new(TcpDial), addresses.clone()),
                env: env(name.as_str()),
            });
            site.until_working().await;
            tokio::spawn(muster_worker::service::serve(site, listener, None, end.clone()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = address(&listener);
        let orchestrator = Orchestrator::start(OrchestratorParts {
            name: "orchestrator".to_owned(),
            journal: Arc::new(SqliteJournal::open(&file(&directory, "journal")).unwrap()),
            sites: addresses.clone(),
            dial: Arc::new(TcpDial),
            env: env("orchestrator"),
            patience: Patience::default(),
            commands: BTreeMap::new(),
        });
        let orchestrator = orchestrator.await.unwrap();
        tokio::spawn(muster_orchestrator::serve(orchestrator, listener, None, end.clone()));
        let client = EvacuationsClient::new(TcpDial.dial(&at, &Counterpart::Orchestrator).await.unwrap());
        House { client, sites, addresses, _directory: directory, _end: end.drop_guard() }
    }

    /// Orders the evacuation of one guest; `rest` is added to the runbook.
    pub(crate) async fn evacuate(&self, guest: &str, rest: &str) -> String {
        let [source, destination] = &self.sites;
        let runbook = format!(
            "name = \"{guest}\"\nsource.site = \"{source}\"\ndestination.site = \"{destination}\"\n{rest}\n\
             [[select]]\nnames = [\"{guest}\"]\nmode = \"live\"\n"
        );
        let request = pb::CreateEvacuationRequest {
            request_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, guest.as_bytes()).to_string(),
            runbook,
            validate_only: false,
            ordered_by: "a test".to_owned(),
        };
        self.client.clone().create_evacuation(request).await.unwrap().into_inner().evacuation
    }

    /// What preflight alone finds for an evacuation of all guests.
    pub(crate) async fn check(&self) -> Vec<pb::Finding> {
        let [source, destination] = &self.sites;
        let runbook = format!(
            "name = \"check\"\nsource.site = \"{source}\"\ndestination.site = \"{destination}\"\n[[select]]\nall = true\n"
        );
        self.client.clone().check_runbook(pb::CheckRunbookRequest { runbook }).await.unwrap().into_inner().findings
    }

    /// Waits until the evacuation's one move is as wanted.
    pub(crate) async fn until(&self, evacuation: &str, wanted: impl Fn(&pb::Move) -> bool) -> pb::Move {
        let deadline = Instant::now() + LONGEST;
        loop {
            let request = pb::ListMovesRequest { evacuation: evacuation.to_owned(), ..pb::ListMovesRequest::default() };
            let moves = self.client.clone().list_moves(request).await.unwrap().into_inner().moves;
            match moves.into_iter().next() {
                Some(one) if wanted(&one) => return one,
                last => assert!(Instant::now() < deadline, "never as wanted: {last:#?}"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the evacuation is over; gives its one move.
    pub(crate) async fn until_over(&self, evacuation: &str) -> pb::Move {
        let over = self.until(evacuation, |one| one.ended_at_ms.is_some()).await;
        let deadline = Instant::now() + LONGEST;
        loop {
            let request = pb::GetEvacuationRequest { evacuation: evacuation.to_owned() };
            let shown = self.client.clone().get_evacuation(request).await.unwrap().into_inner();
            if shown.state() == EvacuationState::Finished {
                return over;
            }
            assert!(Instant::now() < deadline, "its move is over, and it isn't: {shown:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An admin's order to make a retired copy runnable again.
    pub(crate) async fn release(&self, vm: &str) {
        let request = pb::ReleaseVmRequest {
            request_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("release {vm}").as_bytes()).to_string(),
            vm: vm.to_owned(),
            reason: "a test wants it".to_owned(),
            ordered_by: "a test".to_owned(),
        };
        // Its worker may still be busy with it.
        let deadline = Instant::now() + LONGEST;
        while let Err(refused) = self.client.clone().release_vm(request.clone()).await {
            assert!(refused.code() == Code::Aborted && Instant::now() < deadline, "{refused:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn site(&self, role: Role) -> &SiteName {
        let [source, destination] = &self.sites;
        if role == Role::Source { source } else { destination }
    }

    /// Where a site's worker listens.
    pub(crate) fn address(&self, role: Role) -> SiteAddress {
        self.addresses[self.site(role)].clone()
    }

    /// Time, and ids of somebody's own.
    pub(crate) fn env(&self, whose: &str) -> Arc<dyn Env> {
        env(whose)
    }

    /// A site, reached past the orchestrator.
    pub(crate) async fn link(&self, role: Role) -> Arc<SiteLink> {
        let site = self.site(role);
        let reached =
            SiteLink::connect(site.clone(), &self.addresses[site], &TcpDial, env("a test"), Patience::default());
        reached.await.unwrap()
    }

    /// How many events of a kind the ledger of one side has.
    pub(crate) async fn events(&self, role: Role, event: &str) -> usize {
        let site = self.site(role);
        let mut client =
            SiteClient::new(TcpDial.dial(&self.addresses[site], &Counterpart::Worker(None)).await.unwrap());
        let all = muster_proto::worker::v1::ListEventsRequest::default();
        let lines = client.list_events(all).await.unwrap().into_inner().lines;
        lines.iter().filter(|line| line.event == event).count()
    }

    /// Waits until it has so many.
    pub(crate) async fn until_events(&self, role: Role, event: &str, count: usize) {
        let deadline = Instant::now() + LONGEST;
        while self.events(role, event).await != count {
            assert!(Instant::now() < deadline, "never {count} of {event}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn adjust(&self, evacuation: &str, adjustment: pb::Adjustment) {
        let request = pb::AdjustMovesRequest {
            request_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{evacuation}{adjustment:?}").as_bytes())
                .to_string(),
            evacuation: evacuation.to_owned(),
            vms: Vec::new(),
            adjustment: Some(adjustment),
            ordered_by: "a test".to_owned(),
        };
        self.client.clone().adjust_moves(request).await.unwrap();
    }

    /// The attempts in which a rung was taken, in order.
    pub(crate) async fn rungs(&self, evacuation: &str) -> Vec<u64> {
        let request = pb::ListAuditRequest {
            evacuation: evacuation.to_owned(),
            page_size: 1_000,
            ..pb::ListAuditRequest::default()
        };
        let lines = self.client.clone().list_audit(request).await.unwrap().into_inner().lines;
        let attempt = |line: &pb::AuditLine| {
            let detail: serde_json::Value = serde_json::from_str(&line.detail_json).unwrap();
            detail["attempt"].as_u64().unwrap()
        };
        lines.iter().filter(|line| line.record == "rung_taken").map(attempt).collect()
    }
}

/// Waits until all its hosts answer.
pub(crate) async fn until_heard(hypervisor: &LibvirtHypervisors) {
    let deadline = Instant::now() + LONGEST;
    loop {
        let inventory = hypervisor.inventory().await.unwrap();
        if inventory.hosts.iter().all(|host| host.answers) {
            return;
        }
        assert!(Instant::now() < deadline, "never heard: {:?}", inventory.hosts);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn address(listener: &TcpListener) -> SiteAddress {
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

fn file(directory: &TempDir, name: &str) -> std::path::PathBuf {
    Path::new(directory.path()).join(name)
}

fn env(process: &str) -> Arc<dyn Env> {
    Arc::new(SimulatedEnv::new(Clock::right(Instant::now()), 1, process, 1))
}
