//! Commands on VMs as they go to a site.

use super::invalid::{InvalidMessage, Problem};
use super::read::{attempt, marked, nested, parsed, present, text, within_range};
use super::standing::{arrival_kind, kept_ms, outcome};
use super::token::issued_token;
use crate::worker::v1 as pb;
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, HostName, SiteName, VmId};
use muster_core::ladder::Ladder;
use muster_core::step::Side;
use muster_core::terms::Tuning;
use muster_core::token::Token;

/// One command on one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteCommand {
    /// The VM.
    pub vm: VmId,
    /// The command's token. Below the VM's floor it is refused, equal to it it is answered again, above it is executed.
    pub token: Token,
    /// What to do.
    pub action: SiteAction,
}

/// What a site can be told to do with a VM. Each can be repeated, and every reply can be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteAction {
    /// Destination: the next attempt's started record.
    OpenAttempt {
        /// The host it is for.
        host: HostName,
        /// How it comes up.
        kind: ArrivalKind,
    },
    /// Destination: the inert placeholder.
    MakePlaceholder {
        /// Whose.
        attempt: Attempt,
    },
    /// Source: replace the stored definition by one that can't start.
    Seal,
    /// Source: begin the transfer.
    Transfer {
        /// The attempt.
        attempt: Attempt,
        /// The site it goes to.
        destination_site: SiteName,
        /// The host it goes to.
        destination_host: HostName,
        /// How it is made.
        tuning: Tuning,
    },
    /// Source: end the transfer's job. It can lose to an arrival.
    AbortTransfer,
    /// Source: change the transfer while it runs.
    AdjustTransfer {
        /// Most that it sends from now on, in MiB per second; none for all there is.
        bandwidth_mib_s: Option<u64>,
        /// How long the guest may stand still, in milliseconds; none leaves it as it is.
        downtime_ms: Option<u64>,
    },
    /// Destination: the completion event, in the source's worker's stead, then run.
    Commit {
        /// The attempt.
        attempt: Attempt,
    },
    /// Destination: let it run, after its event.
    Run,
    /// Source: Not Runnable for good, after the event.
    Retire {
        /// How long the copy is kept until the site deletes it, in milliseconds: 1,000 to 315,360,000,000; none for ever.
        keep_ms: Option<u64>,
    },
    /// Destination: this attempt can never get an event.
    Abandon {
        /// The attempt.
        attempt: Attempt,
    },
    /// Destination: this attempt had arrived after all.
    Reopen {
        /// The attempt.
        attempt: Attempt,
    },
    /// Destination: remove what given-up attempts left.
    Discard,
    /// Source: resume the paused guest.
    ResumeSource,
    /// Source: real definition back, then start.
    StartSource,
    /// Source: real definition back.
    Unseal,
    /// Source: this side's part is over.
    CloseSource,
    /// Destination: the move is over.
    CloseDestination(Outcome),
    /// Source: take Not Runnable back, by an admin's order.
    Release {
        /// Why: 1 to 1,024 bytes without control characters.
        reason: String,
    },
}

impl SiteAction {
    /// The site that carries it out.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            SiteAction::OpenAttempt { .. }
            | SiteAction::MakePlaceholder { .. }
            | SiteAction::Commit { .. }
            | SiteAction::Run
            | SiteAction::Abandon { .. }
            | SiteAction::Reopen { .. }
            | SiteAction::Discard
            | SiteAction::CloseDestination(_) => Side::Destination,
            SiteAction::Seal
            | SiteAction::Transfer { .. }
            | SiteAction::AbortTransfer
            | SiteAction::AdjustTransfer { .. }
            | SiteAction::Retire { .. }
            | SiteAction::ResumeSource
            | SiteAction::StartSource
            | SiteAction::Unseal
            | SiteAction::CloseSource
            | SiteAction::Release { .. } => Side::Source,
        }
    }
}

impl From<SiteCommand> for pb::Command {
    fn from(command: SiteCommand) -> Self {
        let retired_copy_kept_ms = if let SiteAction::Retire { keep_ms } = &command.action { *keep_ms } else { None };
        pb::Command {
            retired_copy_kept_ms,
            vm: command.vm.to_string(),
            token: Some(command.token.into()),
            action: Some(command.action.into()),
        }
    }
}

impl TryFrom<pb::Command> for SiteCommand {
    type Error = InvalidMessage;
    fn try_from(message: pb::Command) -> Result<Self, InvalidMessage> {
        let mut action = present("action", message.action)?.try_into()?;
        if let Some(given) = message.retired_copy_kept_ms {
            const FIELD: &str = "retired_copy_kept_ms";
            let SiteAction::Retire { keep_ms } = &mut action else {
                return Err(InvalidMessage::new(FIELD, Problem::Disagrees { other: "action" }));
            };
            *keep_ms = Some(kept_ms(FIELD, given)?);
        }
        Ok(SiteCommand { vm: parsed("vm", &message.vm)?, token: issued_token("token", message.token)?, action })
    }
}

impl From<SiteAction> for pb::command::Action {
    fn from(action: SiteAction) -> Self {
        use pb::command::Action;
        match action {
            SiteAction::OpenAttempt { host, kind } => {
                Action::OpenAttempt(pb::OpenAttempt { host: host.into(), kind: pb::ArrivalKind::from(kind).into() })
            }
            SiteAction::MakePlaceholder { attempt } => Action::MakePlaceholder(attempt.count()),
            SiteAction::Seal => Action::Seal(true),
            SiteAction::Transfer { attempt, destination_site, destination_host, tuning } => {
                Action::Transfer(pb::BeginTransfer {
                    attempt: attempt.count(),
                    destination_site: destination_site.into(),
                    destination_host: destination_host.into(),
                    bandwidth_mib_s: tuning.bandwidth_mib_s,
                    connections: tuning.connections.map(u32::from),
                    needs_tls: tuning.needs_tls,
                    auto_converge: tuning.auto_converge,
                })
            }
            SiteAction::AbortTransfer => Action::AbortTransfer(true),
            SiteAction::AdjustTransfer { bandwidth_mib_s, downtime_ms } => {
                Action::AdjustTransfer(pb::AdjustTransfer { bandwidth_mib_s, downtime_ms })
            }
            SiteAction::Commit { attempt } => Action::Commit(attempt.count()),
            SiteAction::Run => Action::Run(true),
            // How long is said beside it.
            SiteAction::Retire { keep_ms: _ } => Action::Retire(true),
            SiteAction::Abandon { attempt } => Action::Abandon(attempt.count()),
            SiteAction::Reopen { attempt } => Action::Reopen(attempt.count()),
            SiteAction::Discard => Action::Discard(true),
            SiteAction::ResumeSource => Action::ResumeSource(true),
            SiteAction::StartSource => Action::StartSource(true),
            SiteAction::Unseal => Action::Unseal(true),
            SiteAction::CloseSource => Action::CloseSource(true),
            SiteAction::CloseDestination(outcome) => Action::CloseDestination(pb::Outcome::from(outcome).into()),
            SiteAction::Release { reason } => Action::Release(reason),
        }
    }
}

impl TryFrom<pb::command::Action> for SiteAction {
    type Error = InvalidMessage;
    fn try_from(message: pb::command::Action) -> Result<Self, InvalidMessage> {
        use pb::command::Action;
        Ok(match message {
            Action::OpenAttempt(open) => nested("open_attempt", open)?,
            Action::MakePlaceholder(count) => {
                SiteAction::MakePlaceholder { attempt: attempt("make_placeholder", count)? }
            }
            Action::Seal(given) => marked("seal", given, SiteAction::Seal)?,
            Action::Transfer(begin) => nested("transfer", begin)?,
            Action::AbortTransfer(given) => marked("abort_transfer", given, SiteAction::AbortTransfer)?,
            Action::AdjustTransfer(adjust) => nested("adjust_transfer", adjust)?,
            Action::Commit(count) => SiteAction::Commit { attempt: attempt("commit", count)? },
            Action::Run(given) => marked("run", given, SiteAction::Run)?,
            Action::Retire(given) => marked("retire", given, SiteAction::Retire { keep_ms: None })?,
            Action::Abandon(count) => SiteAction::Abandon { attempt: attempt("abandon", count)? },
            Action::Reopen(count) => SiteAction::Reopen { attempt: attempt("reopen", count)? },
            Action::Discard(given) => marked("discard", given, SiteAction::Discard)?,
            Action::ResumeSource(given) => marked("resume_source", given, SiteAction::ResumeSource)?,
            Action::StartSource(given) => marked("start_source", given, SiteAction::StartSource)?,
            Action::Unseal(given) => marked("unseal", given, SiteAction::Unseal)?,
            Action::CloseSource(given) => marked("close_source", given, SiteAction::CloseSource)?,
            Action::CloseDestination(value) => SiteAction::CloseDestination(outcome("close_destination", value)?),
            Action::Release(reason) => SiteAction::Release { reason: text("release", reason)? },
        })
    }
}

impl TryFrom<pb::OpenAttempt> for SiteAction {
    type Error = InvalidMessage;
    fn try_from(message: pb::OpenAttempt) -> Result<Self, InvalidMessage> {
        Ok(SiteAction::OpenAttempt { host: parsed("host", &message.host)?, kind: arrival_kind("kind", message.kind)? })
    }
}

impl TryFrom<pb::BeginTransfer> for SiteAction {
    type Error = InvalidMessage;
    fn try_from(message: pb::BeginTransfer) -> Result<Self, InvalidMessage> {
        Ok(SiteAction::Transfer {
            attempt: attempt("attempt", message.attempt)?,
            destination_site: parsed("destination_site", &message.destination_site)?,
            destination_host: parsed("destination_host", &message.destination_host)?,
            tuning: Tuning {
                bandwidth_mib_s: bandwidth(message.bandwidth_mib_s)?,
                connections: message.connections.map(connections).transpose()?,
                needs_tls: message.needs_tls,
                auto_converge: message.auto_converge,
            },
        })
    }
}

impl TryFrom<pb::AdjustTransfer> for SiteAction {
    type Error = InvalidMessage;
    fn try_from(message: pb::AdjustTransfer) -> Result<Self, InvalidMessage> {
        if let Some(given) = message.downtime_ms {
            within_range("downtime_ms", given, 1, Ladder::DOWNTIME_MAX_MS)?;
        }
        let bandwidth_mib_s = bandwidth(message.bandwidth_mib_s)?;
        Ok(SiteAction::AdjustTransfer { bandwidth_mib_s, downtime_ms: message.downtime_ms })
    }
}

fn bandwidth(given: Option<u64>) -> Result<Option<u64>, InvalidMessage> {
    if let Some(given) = given {
        within_range("bandwidth_mib_s", given, 1, Tuning::BANDWIDTH_MAX_MIB_S)?;
    }
    Ok(given)
}

fn connections(given: u32) -> Result<u16, InvalidMessage> {
    within_range("connections", given.into(), 1, Tuning::CONNECTIONS_MAX.into())?;
    // At most CONNECTIONS_MAX, which fits.
    Ok(u16::try_from(given).unwrap_or(Tuning::CONNECTIONS_MAX))
}
