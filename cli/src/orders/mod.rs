//! The command line as a validated whole. An order stands only if all of it can be meant; then it is carried out.

mod adjust;
mod audit;
mod conformance;
mod daemons;
mod input;
mod pki;
mod plan;
mod predict;
mod recover;
mod scenario;
mod spoken;

pub(crate) use audit::{AuditOrder, Lines, Trail, TrailOrder};
pub(crate) use conformance::ConformanceOrder;
pub(crate) use daemons::{DemoOrder, HypervisorAt, OrchestratorOrder, RebuildOrder, Serving, WorkerOrder, WorldOrder};
pub(crate) use pki::{IssueOrder, PkiOrder};
pub(crate) use plan::{EvacuationPlanOrder, From, Inventories, PlanOrder};
pub(crate) use predict::PredictOrder;
pub(crate) use recover::{RecoverOrder, SourceAt, Way};
pub(crate) use scenario::{Name, Scenario};
pub(crate) use spoken::Spoken;

use crate::args::{Cli, Command, LedgerArgs, LedgerCommand, OrchestratorAddress, Person};
use crate::error::CliError;
use muster_core::ids::{EvacuationId, RequestId, TEXT_MAX_BYTES, VmId};
use muster_core::runbook::{RUNBOOK_MAX_BYTES, Runbook};
use muster_core::step::Side;
use muster_core::terms::Adjustment;
use muster_proto::channel::SiteAddress;
use std::io::Read;
use std::path::Path;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    Demo(DemoOrder),
    World(WorldOrder),
    Worker(WorkerOrder),
    Orchestrator(OrchestratorOrder),
    Recover(Box<RecoverOrder>),
    Inspect(InspectOrder),
    Conformance(ConformanceOrder),
    Predict(PredictOrder),
    Pki(PkiOrder),
    Plan(PlanOrder),
    Rebuild(RebuildOrder),
    Trail(TrailOrder),
    Client(SiteAddress, ClientOrder),
}

/// The hypervisors that are inspected.
#[derive(Debug)]
#[cfg_attr(not(feature = "libvirt"), expect(dead_code, reason = "a build without libvirt reaches none"))]
pub(crate) struct InspectOrder {
    pub(crate) hypervisors: Vec<(Side, String)>,
    pub(crate) all: bool,
}

/// What an orchestrator is asked for.
#[derive(Debug)]
pub(crate) enum ClientOrder {
    Check { runbook: String },
    Evacuate { runbook: String, then: AfterStart, request: Option<RequestId>, by: String },
    Status { evacuation: Option<EvacuationId>, filter: String },
    Watch { evacuation: Option<EvacuationId> },
    List { filter: String },
    Report { evacuation: Option<EvacuationId> },
    Show { vm: VmGiven },
    Change { change: EvacuationChange, evacuation: Option<EvacuationId>, by: String },
    Retry { evacuation: EvacuationId, vms: Vec<VmGiven>, by: String },
    Adjust { evacuation: Option<EvacuationId>, vms: Vec<VmGiven>, adjustment: Box<Adjustment>, by: String },
    Release { vm: VmGiven, reason: String, by: String },
    Audit(AuditOrder),
}

/// What follows once an evacuation has been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterStart {
    /// Nothing was started: it was only to be checked.
    NothingStarted,
    /// Leave it alone.
    Leave,
    /// Watch it to its end.
    Watch,
}

/// How an evacuation's course is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EvacuationChange {
    Pause,
    Resume,
    Cancel,
}

/// A VM as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VmGiven {
    /// By its UUID.
    Id(VmId),
    /// By its name.
    Name(String),
}

impl VmGiven {
    /// As it was written.
    pub(crate) fn text(&self) -> String {
        match self {
            VmGiven::Id(vm) => vm.to_string(),
            VmGiven::Name(name) => name.clone(),
        }
    }
}

impl TryFrom<Cli> for Order {
    type Error = CliError;
    fn try_from(cli: Cli) -> Result<Self, CliError> {
        Ok(match cli.command {
            Command::Demo(args) => Order::Demo(args.try_into()?),
            Command::World(args) => Order::World(args.try_into()?),
            Command::Worker(args) => Order::Worker(args.try_into()?),
            Command::Orchestrator(args) => Order::Orchestrator(args.try_into()?),
            Command::Recover(args) => Order::Recover(Box::new((*Box::new(args)).try_into()?)),
            Command::Inspect(args) => Order::Inspect(inspect(args)?),
            Command::Conformance(args) => Order::Conformance(args.try_into()?),
            Command::Plan(args) => Order::Plan(args.try_into()?),
            Command::Evacuate(args) if args.dry_run => {
                let from = From::Sites { orchestrator: orchestrator(&args.orchestrator)?, save: None };
                let order = EvacuationPlanOrder::read(&args.runbook, from, None)?;
                Order::Plan(PlanOrder::Evacuation(Box::new(order)))
            }
            Command::Report(args) => {
                let order = ClientOrder::Report { evacuation: evacuation(args.evacuation.as_deref())? };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::Pki(args) => Order::Pki(args.try_into()?),
            Command::Predict(args) => Order::Predict(args.try_into()?),
            Command::Ledger(LedgerArgs { command: LedgerCommand::Rebuild(args) }) => Order::Rebuild(args.try_into()?),
            Command::Evacuate(args) => {
                let runbook = read_runbook(&args.runbook)?;
                let then = match (args.validate_only, args.watch) {
                    (true, _) => AfterStart::NothingStarted,
                    (false, true) => AfterStart::Watch,
                    (false, false) => AfterStart::Leave,
                };
                let request = args.request_id.map(|given| given.parse()).transpose()?;
                let order = ClientOrder::Evacuate { runbook, then, request, by: person(args.person)? };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::Check(args) => {
                let order = ClientOrder::Check { runbook: read_runbook(&args.runbook)? };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::Status(args) => {
                let evacuation = evacuation(args.evacuation.as_deref())?;
                let order = match args.watch {
                    true => ClientOrder::Watch { evacuation },
                    false => ClientOrder::Status { evacuation, filter: args.filter.unwrap_or_default() },
                };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::List(args) => {
                let order = ClientOrder::List { filter: args.filter.unwrap_or_default() };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::Show(args) => {
                Order::Client(orchestrator(&args.orchestrator)?, ClientOrder::Show { vm: vm(&args.vm)? })
            }
            Command::Pause(args) => change(EvacuationChange::Pause, args)?,
            Command::Resume(args) => change(EvacuationChange::Resume, args)?,
            Command::Cancel(args) => change(EvacuationChange::Cancel, args)?,
            Command::Retry(args) => {
                let vms = args.vms.iter().map(|given| vm(given)).collect::<Result<_, _>>()?;
                let order = ClientOrder::Retry { evacuation: args.evacuation.parse()?, vms, by: person(args.person)? };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::Adjust(args) => adjust::order(args)?,
            Command::Release(args) => {
                let reason = text("--reason", args.reason)?;
                let order = ClientOrder::Release { vm: vm(&args.vm)?, reason, by: person(args.person)? };
                Order::Client(orchestrator(&args.orchestrator)?, order)
            }
            Command::Audit(args) => audit::order(args)?,
        })
    }
}

fn inspect(args: crate::args::InspectArgs) -> Result<InspectOrder, CliError> {
    let mut hypervisors: Vec<(Side, String)> = Vec::new();
    let sources = args.source.into_iter().map(|uri| (Side::Source, "--source", uri));
    let destinations = args.destination.into_iter().map(|uri| (Side::Destination, "--destination", uri));
    for (side, flag, uri) in sources.chain(destinations) {
        if !uri.starts_with("qemu") || !uri.contains("://") {
            return Err(CliError::Usage {
                what: format!("{flag} {uri}: not the URI of a QEMU hypervisor"),
                mend: "write it like qemu+ssh://root@host.example/system".to_owned(),
            });
        }
        if hypervisors.iter().any(|(_, known)| *known == uri) {
            return Err(CliError::Usage {
                what: format!("{flag} {uri}: it is given twice"),
                mend: "give each hypervisor once, or its VMs would seem to run twice".to_owned(),
            });
        }
        hypervisors.push((side, uri));
    }
    Ok(InspectOrder { hypervisors, all: args.all })
}

fn change(change: EvacuationChange, args: crate::args::ChangeArgs) -> Result<Order, CliError> {
    let evacuation = evacuation(args.evacuation.as_deref())?;
    let order = ClientOrder::Change { change, evacuation, by: person(args.person)? };
    Ok(Order::Client(orchestrator(&args.orchestrator)?, order))
}

/// Reads a runbook and checks it whole, before anybody is called.
fn read_runbook(path: &Path) -> Result<String, CliError> {
    let unread = |source| CliError::File { path: path.to_owned(), doing: "reading the runbook", source };
    let file = std::fs::File::open(path).map_err(unread)?;
    let limit = u64::try_from(RUNBOOK_MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text).map_err(unread)?;
    match Runbook::parse(&text) {
        Ok(_) => Ok(text),
        Err(mistakes) => Err(CliError::Runbook { path: path.to_owned(), mistakes }),
    }
}

fn orchestrator(given: &OrchestratorAddress) -> Result<SiteAddress, CliError> {
    address("--orchestrator", &given.orchestrator)
}

/// An address that can be dialled, if there are certificates where it isn't loopback: see [`Order::spoken`].
fn address(flag: &str, given: &str) -> Result<SiteAddress, CliError> {
    given.parse().map_err(|error| usage(flag, &error))
}

/// The address of what knows no certificates, and so is on this machine.
fn on_loopback(flag: &str, given: &str) -> Result<SiteAddress, CliError> {
    let address = address(flag, given)?;
    if address.is_loopback() {
        return Ok(address);
    }
    Err(CliError::Usage {
        what: format!("{flag}: {address} is not a loopback address"),
        mend: "run it on this machine, at an address like 127.0.0.1:7701; no certificates are used with it".to_owned(),
    })
}

fn evacuation(given: Option<&str>) -> Result<Option<EvacuationId>, CliError> {
    Ok(given.map(str::parse).transpose()?)
}

fn vm(given: &str) -> Result<VmGiven, CliError> {
    match given.parse::<VmId>() {
        Ok(vm) => Ok(VmGiven::Id(vm)),
        Err(_) => {
            let name: muster_core::ids::VmName = given.parse()?;
            Ok(VmGiven::Name(name.to_string()))
        }
    }
}

fn person(given: Person) -> Result<String, CliError> {
    text("--by", given.by)
}

/// A text that will be kept: neither empty, nor longer than a record holds, nor with control characters.
fn text(flag: &str, given: String) -> Result<String, CliError> {
    muster_proto::convert::text(flag, given).map_err(|error| CliError::Usage {
        what: error.to_string(),
        mend: format!("give 1 to {TEXT_MAX_BYTES} bytes of text"),
    })
}

fn usage(flag: &str, error: &dyn std::fmt::Display) -> CliError {
    CliError::Usage { what: format!("{flag}: {error}"), mend: "see --help".to_owned() }
}
