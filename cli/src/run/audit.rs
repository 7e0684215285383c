//! The audit trail.

use super::Api;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::VmGiven;
use crate::output::audit::{Audit, Line, text};
use crate::writer::Writer;
use muster_core::ids::EvacuationId;

pub(super) async fn run(
    api: &Api,
    evacuation: Option<EvacuationId>,
    vm: Option<VmGiven>,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let vm = match &vm {
        Some(vm) => Some(api.id_of(vm).await?),
        None => None,
    };
    let lines = api.audit(evacuation, vm).await?.into_iter().map(Line::from).collect();
    writer.result(&Audit { lines }, text);
    Ok(Exit::Done)
}
