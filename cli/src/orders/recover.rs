//! What a recovery is told, and by which way it goes.

use super::{VmGiven, address, evacuation, orchestrator, person, text, vm};
use crate::args::RecoverArgs;
use crate::error::CliError;
use muster_core::ids::{EvacuationId, HostName};
use muster_core::runbook::Deadlines;
use muster_proto::channel::SiteAddress;
use std::path::PathBuf;
use std::time::Duration;

/// A recovery, or a report.
#[derive(Debug)]
pub(crate) struct RecoverOrder {
    pub(crate) way: Way,
    pub(crate) evacuation: Option<EvacuationId>,
    pub(crate) apply: bool,
    pub(crate) source_fenced: Option<String>,
    pub(crate) hosts_fenced: Vec<(HostName, String)>,
    pub(crate) cold_start: Vec<VmGiven>,
    pub(crate) undo: bool,
    pub(crate) explain: Option<VmGiven>,
    pub(crate) take_over: Option<String>,
    pub(crate) deadlines: Deadlines,
    /// How long to wait in all.
    pub(crate) longest: Duration,
    pub(crate) by: String,
}

/// Whom it asks.
#[derive(Debug)]
pub(crate) enum Way {
    /// The orchestrator.
    Orchestrator(SiteAddress),
    /// The workers themselves.
    Workers {
        /// The destination's.
        destination: SiteAddress,
        /// The source's.
        source: SourceAt,
    },
    /// Nobody: it reads a ledger's file.
    Ledger(PathBuf),
}

impl Way {
    /// The way in a word, as it stands in the output.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Way::Orchestrator(_) => "orchestrator",
            Way::Workers { source: SourceAt::Lost, .. } => "destination",
            Way::Workers { source: SourceAt::Address(_), .. } => "workers",
            Way::Ledger(_) => "ledger",
        }
    }
}

/// Where the source is.
#[derive(Debug)]
pub(crate) enum SourceAt {
    /// Its worker is called here.
    Address(SiteAddress),
    /// It is given up as lost.
    Lost,
}

impl TryFrom<RecoverArgs> for RecoverOrder {
    type Error = CliError;
    fn try_from(args: RecoverArgs) -> Result<Self, CliError> {
        let way = way(&args)?;
        let asserts = args.assert_source_fenced.is_some() || !args.assert_host_fenced.is_empty();
        refuse(asserts && !args.apply, "an assertion is durable, so a report doesn't take one", "add --apply")?;
        let through_orchestrator = matches!(way, Way::Orchestrator(_));
        refuse(
            through_orchestrator && args.undo,
            "--undo does not go through the orchestrator",
            "use \"muster cancel\", or recover with --destination",
        )?;
        refuse(
            through_orchestrator && args.take_over.is_some(),
            "--take-over does not go through the orchestrator",
            "recover with --destination",
        )?;
        refuse(args.take_over.is_some() && !args.apply, "--take-over is for a recovery that acts", "add --apply")?;
        let mut hosts_fenced = Vec::new();
        for pair in args.assert_host_fenced.chunks(2) {
            if let [host, reason] = pair {
                hosts_fenced.push((host.parse()?, text("--assert-host-fenced", reason.clone())?));
            }
        }
        let assertion = args.assert_source_fenced.map(|reason| text("--assert-source-fenced", reason)).transpose()?;
        Ok(RecoverOrder {
            way,
            evacuation: evacuation(args.evacuation.as_deref())?,
            apply: args.apply,
            source_fenced: assertion,
            hosts_fenced,
            cold_start: args.cold_start.iter().map(|given| vm(given)).collect::<Result<_, _>>()?,
            undo: args.undo,
            explain: args.explain.as_deref().map(vm).transpose()?,
            take_over: args.take_over.map(|reason| text("--take-over", reason)).transpose()?,
            deadlines: Deadlines {
                transfer_ms: Some(args.transfer_deadline_ms),
                handover_ms: args.handover_deadline_ms,
                silence_ms: args.silence_deadline_ms,
                ..Deadlines::default()
            },
            longest: Duration::from_millis(args.deadline_ms),
            by: person(args.person)?,
        })
    }
}

fn way(args: &RecoverArgs) -> Result<Way, CliError> {
    if let Some(ledger) = &args.ledger {
        return Ok(Way::Ledger(ledger.clone()));
    }
    let Some(destination) = &args.destination else { return Ok(Way::Orchestrator(orchestrator(&args.orchestrator)?)) };
    let destination = address("--destination", destination)?;
    let source = match (&args.source, args.source_lost) {
        (Some(source), _) => SourceAt::Address(address("--source", source)?),
        (None, true) => SourceAt::Lost,
        (None, false) => {
            return Err(CliError::Usage {
                what: "--destination alone doesn't say what has become of the source".to_owned(),
                mend: "add --source ADDR, or --source-lost if it can't be reached".to_owned(),
            });
        }
    };
    Ok(Way::Workers { destination, source })
}

fn refuse(it_is_so: bool, what: &str, mend: &str) -> Result<(), CliError> {
    if it_is_so { Err(CliError::Usage { what: what.to_owned(), mend: mend.to_owned() }) } else { Ok(()) }
}
