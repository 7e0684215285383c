//! The commands that ask an orchestrator.

use super::api::{Api, new_request, timed};
use super::{audit, evacuate};
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::{ClientOrder, EvacuationChange, VmGiven};
use crate::output;
use crate::output::evacuation::{Evacuation, List, Status, list_text, status_text, text};
use crate::output::moves::{Move, Vm, vm_text};
use crate::output::report::Report;
use crate::writer::Writer;
use muster_core::ids::EvacuationId;
use muster_core::terms::Adjustment;
use muster_proto::channel::SiteAddress;
use muster_proto::v1 as wire;

/// Carries out what an orchestrator is asked for.
pub(super) async fn run(address: SiteAddress, order: ClientOrder, writer: &Writer) -> Result<Exit, CliError> {
    let api = Api::connect(address).await?;
    match order {
        ClientOrder::Check { runbook } => check(&api, &runbook, writer).await,
        ClientOrder::Evacuate { runbook, then, by } => evacuate::run(&api, &runbook, then, &by, writer).await,
        ClientOrder::Watch { evacuation } => {
            let evacuation = api.evacuation(evacuation).await?;
            evacuate::watch(&api, &evacuation.evacuation, writer).await
        }
        ClientOrder::Status { evacuation, filter } => status(&api, evacuation, &filter, writer).await,
        ClientOrder::List { filter } => list(&api, &filter, writer).await,
        ClientOrder::Report { evacuation } => report(&api, evacuation, writer).await,
        ClientOrder::Show { vm } => show(&api, &vm, writer).await,
        ClientOrder::Change { change, evacuation, by } => self::change(&api, change, evacuation, by, writer).await,
        ClientOrder::Retry { evacuation, vms, by } => retry(&api, evacuation, &vms, by, writer).await,
        ClientOrder::Adjust { evacuation, vms, adjustment, by } => {
            adjust(&api, evacuation, &vms, *adjustment, by, writer).await
        }
        ClientOrder::Release { vm, reason, by } => release(&api, &vm, reason, by, writer).await,
        ClientOrder::Audit { evacuation, vm } => audit::run(&api, evacuation, vm, writer).await,
    }
}

async fn check(api: &Api, runbook: &str, writer: &Writer) -> Result<Exit, CliError> {
    let check = output::check::Check::from(api.check(runbook).await?);
    writer.result(&check, output::check::text);
    Ok(if check.blocking == 0 { Exit::Done } else { Exit::Refused })
}

async fn status(api: &Api, evacuation: Option<EvacuationId>, filter: &str, writer: &Writer) -> Result<Exit, CliError> {
    let evacuation = api.evacuation(evacuation).await?;
    let moves = api.moves(&evacuation.evacuation, filter).await?;
    writer.result(&Status { evacuation, moves }, status_text);
    Ok(Exit::Done)
}

async fn report(api: &Api, evacuation: Option<EvacuationId>, writer: &Writer) -> Result<Exit, CliError> {
    let evacuation = api.evacuation(evacuation).await?;
    let moves = api.moves(&evacuation.evacuation, "").await?;
    writer.result(&Report::new(evacuation, moves), output::report::text);
    Ok(Exit::Done)
}

async fn list(api: &Api, filter: &str, writer: &Writer) -> Result<Exit, CliError> {
    writer.result(&List { evacuations: api.evacuations(filter).await? }, list_text);
    Ok(Exit::Done)
}

async fn show(api: &Api, vm: &VmGiven, writer: &Writer) -> Result<Exit, CliError> {
    writer.result(&Vm { moves: api.moves_of(vm).await? }, vm_text);
    Ok(Exit::Done)
}

async fn change(
    api: &Api,
    change: EvacuationChange,
    evacuation: Option<EvacuationId>,
    by: String,
    writer: &Writer,
) -> Result<Exit, CliError> {
    // The newest one is looked up first: what is changed must be what the person is then told about.
    let evacuation = api.evacuation(evacuation).await?.evacuation;
    let request = timed(wire::ChangeEvacuationRequest { request_id: new_request(), evacuation, ordered_by: by });
    let mut client = api.client();
    let answer = match change {
        EvacuationChange::Pause => client.pause_evacuation(request).await,
        EvacuationChange::Resume => client.resume_evacuation(request).await,
        EvacuationChange::Cancel => client.cancel_evacuation(request).await,
    };
    answered(api, answer, writer)
}

async fn retry(
    api: &Api,
    evacuation: EvacuationId,
    vms: &[VmGiven],
    by: String,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let request = wire::RetryMovesRequest {
        request_id: new_request(),
        evacuation: evacuation.to_string(),
        vms: ids(api, vms).await?,
        ordered_by: by,
    };
    let answer = api.client().retry_moves(timed(request)).await;
    answered(api, answer, writer)
}

async fn adjust(
    api: &Api,
    evacuation: Option<EvacuationId>,
    vms: &[VmGiven],
    adjustment: Adjustment,
    by: String,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let request = wire::AdjustMovesRequest {
        request_id: new_request(),
        evacuation: api.evacuation(evacuation).await?.evacuation,
        vms: ids(api, vms).await?,
        adjustment: Some(adjustment.into()),
        ordered_by: by,
    };
    let answer = api.client().adjust_moves(timed(request)).await;
    answered(api, answer, writer)
}

async fn ids(api: &Api, vms: &[VmGiven]) -> Result<Vec<String>, CliError> {
    let mut ids = Vec::new();
    for vm in vms {
        ids.push(api.id_of(vm).await?.to_string());
    }
    Ok(ids)
}

async fn release(api: &Api, vm: &VmGiven, reason: String, by: String, writer: &Writer) -> Result<Exit, CliError> {
    let vm = api.id_of(vm).await?.to_string();
    let request = wire::ReleaseVmRequest { request_id: new_request(), vm, reason, ordered_by: by };
    let answer = api.client().release_vm(timed(request)).await.map_err(|status| api.failed(&status))?;
    let moves = answer.into_inner().r#move.into_iter().map(Move::from).collect();
    writer.result(&Vm { moves }, vm_text);
    Ok(Exit::Done)
}

fn answered(
    api: &Api,
    answer: Result<tonic::Response<wire::Evacuation>, tonic::Status>,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let evacuation: Evacuation = answer.map_err(|status| api.failed(&status))?.into_inner().into();
    writer.result(&evacuation, text);
    Ok(Exit::Done)
}
