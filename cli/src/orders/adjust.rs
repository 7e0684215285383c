//! What is changed of an evacuation's terms, as the command line gives it.

use super::{ClientOrder, Order, evacuation, orchestrator, person, vm};
use crate::args::{AdjustArgs, AutoConvergeWord};
use crate::error::CliError;
use muster_core::terms::Adjustment;
use muster_proto::v1 as wire;

pub(super) fn order(args: AdjustArgs) -> Result<Order, CliError> {
    let auto_converge = args.auto_converge.map(|word| match word {
        AutoConvergeWord::Never => wire::AutoConverge::Never,
        AutoConvergeWord::NextAttempt => wire::AutoConverge::NextAttempt,
        AutoConvergeWord::Always => wire::AutoConverge::Always,
    });
    let given = wire::Adjustment {
        bandwidth_mib_s: args.bandwidth_mib_s,
        setup_ms: args.setup_ms,
        transfer_ms: args.transfer_ms,
        handover_ms: args.handover_ms,
        finish_ms: args.finish_ms,
        downtimes: args.downtimes_ms.map(|milliseconds| wire::Downtimes { milliseconds }),
        auto_converge: auto_converge.map(i32::from),
        stalled_rounds: args.stalled_rounds,
        per_source_host: args.per_source_host,
        per_destination_host: args.per_destination_host,
        per_site: args.per_site,
        total: args.total,
    };
    if given == wire::Adjustment::default() {
        return Err(CliError::Usage {
            what: "nothing is changed".to_owned(),
            mend: "say what, for instance --bandwidth-mib-s 200; see muster adjust --help".to_owned(),
        });
    }
    // The wire's own checks: what an orchestrator would refuse is told here, in the same words.
    let adjustment = Adjustment::try_from(given).map_err(|error| CliError::Usage {
        what: format!("--{}", error.to_string().replace("downtimes.milliseconds", "downtimes_ms").replace('_', "-")),
        mend: "see muster adjust --help".to_owned(),
    })?;
    let order = ClientOrder::Adjust {
        evacuation: evacuation(args.evacuation.as_deref())?,
        vms: args.vm.iter().map(|given| vm(given)).collect::<Result<_, _>>()?,
        adjustment: Box::new(adjustment),
        by: person(args.person)?,
    };
    Ok(Order::Client(orchestrator(&args.orchestrator)?, order))
}
