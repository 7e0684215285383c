//! Recovery: through the orchestrator, from the workers themselves, or from a ledger's file.

use super::api::{new_request, no_such_vm};
use super::{Api, Transport, waiting};
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::{RecoverOrder, SourceAt, VmGiven, Way};
use crate::output::roll_call::{Explanation, Line, RollCall, Unconfirmed, text};
use crate::writer::Writer;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::{RollEntry, VmRow};
use muster_proto::channel::{Counterpart, SiteAddress, site_client, site_status_at_work};
use muster_proto::limits::CALL_TIMEOUT;
use muster_proto::v1 as wire;
use muster_recovery::error::RecoveryError;
use muster_recovery::explain::explain;
use muster_recovery::link::{Patience, SiteLink};
use muster_recovery::recover::{self, FURTHER_ATTEMPTS, Recovered, Sites};
use muster_recovery::roll_call::{RollCallLine, Wishes, roll_call_of_rows};
use muster_store::sqlite::SqliteLedger;
use muster_store::{ReadLedger, RowQuery};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a worker that takes no work yet is asked again, and for how long.
const TAKES_WORK_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Carries a recovery out, or reports.
pub(super) async fn run(
    order: RecoverOrder,
    env: Arc<dyn Env>,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    match &order.way {
        Way::Orchestrator(address) => through_orchestrator(&order, address, transport, writer).await,
        Way::Workers { destination, source } => {
            from_workers(&order, destination, source, (&env, transport), writer).await
        }
        Way::Ledger(path) => from_file(&order, path.clone(), &env, writer).await,
    }
}

async fn through_orchestrator(
    order: &RecoverOrder,
    address: &SiteAddress,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let api = Api::connect(address.clone(), transport).await?;
    let evacuation = api.evacuation(order.evacuation).await?.evacuation;
    if let Some(vm) = &order.explain {
        let vm = api.id_of(vm).await?.to_string();
        let request = super::api::timed(wire::ExplainVmRequest { vm, evacuation });
        let answer = api.client().explain_vm(request).await.map_err(|status| api.failed(&status))?.into_inner();
        let verdict = answer.verdict.map(Line::from);
        writer.result(&Explanation { lines: answer.lines, verdict }, |told| told.lines.join("\n"));
        return Ok(Exit::Done);
    }
    let mut cold_start_vms = Vec::new();
    for vm in &order.cold_start {
        cold_start_vms.push(api.id_of(vm).await?.to_string());
    }
    let asserted = order.hosts_fenced.iter();
    let asserted =
        asserted.map(|(host, reason)| wire::HostAssertion { host: host.to_string(), reason: reason.clone() });
    let request = wire::RecoverEvacuationRequest {
        request_id: new_request(),
        evacuation: evacuation.clone(),
        apply: order.apply,
        assert_source_fenced_reason: order.source_fenced.clone(),
        assert_hosts_fenced: asserted.collect(),
        cold_start_vms,
        ordered_by: order.by.clone(),
        wait_ms: 0,
    };
    let waiting::Called { lines, unconfirmed } = waiting::at_orchestrator(&api, request, order.longest, writer).await?;
    let call = RollCall::of(Some(evacuation), order.way.word(), order.apply, lines);
    Ok(told(&RollCall { unconfirmed, ..call }, writer))
}

async fn from_workers(
    order: &RecoverOrder,
    destination: &SiteAddress,
    source: &SourceAt,
    (env, transport): (&Arc<dyn Env>, &Transport),
    writer: &Writer,
) -> Result<Exit, CliError> {
    let destination = reach("destination", destination, env, transport).await?;
    let source = match source {
        SourceAt::Address(address) => Some(reach("source", address, env, transport).await?),
        SourceAt::Lost => None,
    };
    let sites = Sites { destination, source };
    let cold_start = named_in_roll(&sites, order).await?;
    let ordered = recover::RecoverOrder {
        evacuation: order.evacuation,
        apply: order.apply,
        wishes: wishes(order, cold_start),
        source_fenced: order.source_fenced.clone(),
        hosts_fenced: order.hosts_fenced.clone(),
        take_over: order.take_over.clone(),
        by: order.by.clone(),
        deadlines: order.deadlines,
    };
    let recovered = waiting::at_workers(&sites, env, &ordered, order.longest, writer).await?;
    if let Some(vm) = &order.explain {
        return explained(vm, &recovered.lines, writer);
    }
    let Recovered { evacuation, lines, claim_kept, unconfirmed } = &recovered;
    let lines = lines.iter().map(Line::from).collect();
    let mut call = RollCall::of(Some(evacuation.to_string()), order.way.word(), order.apply, lines);
    call.claim_kept = order.apply.then_some(*claim_kept);
    let lonely = |ledger: &recover::Unconfirmed| Unconfirmed {
        site: Some(ledger.site.to_string()),
        as_of_ms: ledger.as_of.map(|at| at.0),
    };
    call.unconfirmed = unconfirmed.iter().map(lonely).collect();
    Ok(told(&call, writer))
}

/// A worker, by its address alone: it says itself which site it is.
async fn reach(
    what: &'static str,
    address: &SiteAddress,
    env: &Arc<dyn Env>,
    transport: &Transport,
) -> Result<Arc<SiteLink>, CliError> {
    let dial = transport.dial();
    let channel = dial.dial(address, &Counterpart::Worker(None)).await?;
    let asked = site_status_at_work(&site_client(channel), CALL_TIMEOUT, TAKES_WORK_WAITS).await;
    let fault = match asked {
        // One that never takes work says why to whatever is asked of it.
        Ok(status) => {
            let (env, patience) = (Arc::clone(env), Patience::default());
            return Ok(SiteLink::connect(status.site, address, dial.as_ref(), env, patience).await?);
        }
        Err(fault) => fault,
    };
    let mend = match what {
        "source" => "start its worker, or recover with --source-lost",
        _ => "start its worker, or recover with --ledger FILE",
    };
    Err(CliError::NoWorker { what, address: address.clone(), fault: Box::new(fault), mend })
}

/// The VMs to be started from their disks, by their UUIDs.
async fn named_in_roll(sites: &Sites, order: &RecoverOrder) -> Result<BTreeSet<VmId>, CliError> {
    if order.cold_start.iter().all(|vm| matches!(vm, VmGiven::Id(_))) {
        return resolve(&order.cold_start, &BTreeMap::new());
    }
    let mut roll = BTreeMap::new();
    for one in sites.destination.evacuations().await? {
        if order.evacuation.is_none_or(|wanted| wanted == one.evacuation) {
            roll.append(&mut sites.destination.roll(one.evacuation).await?);
        }
    }
    resolve(&order.cold_start, &roll)
}

fn resolve(given: &[VmGiven], roll: &BTreeMap<VmId, RollEntry>) -> Result<BTreeSet<VmId>, CliError> {
    let named = |name: &str| {
        let mut found = roll.values().filter(|entry| entry.definition.name.as_str() == name);
        match (found.next(), found.next()) {
            (Some(entry), None) => Ok(entry.vm),
            (None, _) => Err(no_such_vm(name)),
            (Some(_), Some(_)) => Err(CliError::Usage {
                what: format!("several VMs are called {name:?}"),
                mend: "give the UUID".to_owned(),
            }),
        }
    };
    let one = |vm: &VmGiven| match vm {
        VmGiven::Id(vm) => Ok(*vm),
        VmGiven::Name(name) => named(name),
    };
    given.iter().map(one).collect()
}

async fn from_file(order: &RecoverOrder, path: PathBuf, env: &Arc<dyn Env>, writer: &Writer) -> Result<Exit, CliError> {
    let opening = tokio::task::spawn_blocking(move || SqliteLedger::open_read_only(&path)).await;
    let ledger = opening.map_err(|error| CliError::Daemon {
        what: "reading the ledger",
        why: error.to_string(),
        class: muster_core::class::Class::Bug,
    })??;
    let evacuation = only_evacuation(&ledger, order.evacuation).await?;
    let claims = ledger.claims(evacuation).await?;
    let rows = all_rows(&ledger, evacuation).await?;
    let roll = rows.iter().filter_map(|row| row.enrolled.as_ref().map(|at| (row.vm, at.entry.clone()))).collect();
    let wishes = wishes(order, resolve(&order.cold_start, &roll)?);
    let lines = roll_call_of_rows(&rows, &claims, &wishes, env.now());
    if let Some(vm) = &order.explain {
        return explained(vm, &lines, writer);
    }
    let lines = lines.iter().map(Line::from).collect();
    let mut call = RollCall::of(Some(evacuation.to_string()), order.way.word(), false, lines);
    let newest = ledger.events(ledger.newest().saturating_sub(1), 1).await?;
    call.unconfirmed.push(Unconfirmed { site: None, as_of_ms: newest.first().map(|(_, event)| event.at.0) });
    Ok(told(&call, writer))
}

async fn only_evacuation(ledger: &dyn ReadLedger, wanted: Option<EvacuationId>) -> Result<EvacuationId, CliError> {
    let known: Vec<EvacuationId> = ledger.evacuations().await?.into_iter().map(|one| one.evacuation).collect();
    match (wanted, known.as_slice()) {
        (Some(wanted), known) if known.contains(&wanted) => Ok(wanted),
        (None, [only]) => Ok(*only),
        (Some(_), _) | (None, []) => Err(RecoveryError::NoEvacuation { evacuation: wanted }.into()),
        (None, several) => {
            let listed: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CliError::Usage {
                what: format!("the ledger knows several evacuations: {}", listed.join(", ")),
                mend: "name the one that is meant".to_owned(),
            })
        }
    }
}

async fn all_rows(ledger: &dyn ReadLedger, evacuation: EvacuationId) -> Result<Vec<VmRow>, CliError> {
    let mut rows = Vec::new();
    let mut query = RowQuery::of(evacuation);
    loop {
        let mut page = ledger.rows(query).await?;
        let Some(last) = page.last().map(|row| row.vm) else { return Ok(rows) };
        rows.append(&mut page);
        query = query.after(last);
    }
}

fn wishes(order: &RecoverOrder, cold_start: BTreeSet<VmId>) -> Wishes {
    Wishes { undo: order.undo, cold_start, further_attempts: FURTHER_ATTEMPTS }
}

fn explained(vm: &VmGiven, lines: &[RollCallLine], writer: &Writer) -> Result<Exit, CliError> {
    let roll = lines.iter().map(|line| (line.entry.vm, line.entry.clone())).collect();
    let wanted = resolve(std::slice::from_ref(vm), &roll)?;
    let line = lines.iter().find(|line| wanted.contains(&line.entry.vm)).ok_or_else(|| no_such_vm(&vm.text()))?;
    let told = Explanation { lines: explain(line), verdict: Some(Line::from(line)) };
    writer.result(&told, |told| told.lines.join("\n"));
    Ok(Exit::Done)
}

fn told(call: &RollCall, writer: &Writer) -> Exit {
    writer.result(call, text);
    if call.settled { Exit::Done } else { Exit::Held }
}
