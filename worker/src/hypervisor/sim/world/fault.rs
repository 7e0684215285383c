//! What can be made to go wrong: at once, by rule when something comes to pass, or at random by the world's seed.
//! Data only; `rules` carries it out.

use super::call::CallKind;
use super::config::FinishBreak;
use crate::hypervisor::HypervisorError;
use muster_core::class::Class;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::Phase;
use serde::{Deserialize, Serialize};

/// Most rules that wait at a time.
pub const RULES_MAX: usize = 65_536;

/// Something that goes wrong, or is put right again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// To a host.
    Host(SiteName, HostName, HostFault),
    /// To a whole site.
    Site(SiteName, SiteFault),
    /// To the link between two sites.
    Link(SiteName, SiteName, LinkFault),
    /// Somebody does something to a VM at a hypervisor, past muster.
    ByHand(SiteName, HostName, VmId, Deed),
    /// Something will go wrong when it comes to pass.
    Rule(Rule),
    /// Transfers that stand still by a rule go on: those of one VM, or all.
    ReleaseTransfers(Option<VmId>),
    /// From now on things go wrong at random, this often.
    Rates(FaultRates),
    /// All rules and random faults end; transfers that stand still go on.
    ClearRules,
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostFault {
    /// It loses power, and with it every instance on it.
    PowerLoss,
    /// It comes back, and boots what has autostart and a real definition.
    PowerReturn,
    /// Its daemon restarts: its jobs are cancelled, a source that was paused for one is resumed, calls under way are
    /// lost, and it is silent for a while.
    DaemonRestart,
    /// Its daemon doesn't answer for a while; jobs, calls and guests go on.
    Silent {
        /// How long, in simulated milliseconds.
        for_ms: u64,
    },
}

/// What happens to a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiteFault {
    /// Every host of it loses power.
    PowerLoss,
    /// Its hosts come back.
    PowerReturn,
    /// It can't be reached, by its own worker either; its guests run on.
    Unplugged,
    /// It can be reached again.
    PluggedIn,
}

/// What happens to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkFault {
    /// It is cut; the jobs over it break.
    Cut,
    /// It carries again.
    Restored,
    /// It gets slower or faster.
    Rate {
        /// What it carries from now on, in MiB per second; at 0 all that goes over it stands still.
        rate_mib_s: u64,
    },
}

/// What somebody does to a VM at its hypervisor, with no regard for muster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Starts it. Refused as it is to muster: sealed, retired and placeholders don't start.
    Start,
    /// Resumes its paused guest.
    Resume,
    /// Pauses its running guest.
    Pause,
    /// Its guest crashes.
    Crash,
    /// Its guest shuts itself down.
    ShutDown,
    /// Deletes it with its guest, whatever it is.
    Delete,
    /// Stores a real definition over whatever was there, or where nothing was.
    Store(Box<Definition>),
    /// Makes what is stored a real definition, and leaves its mark in it.
    Edit(Box<Definition>),
    /// Switches its autostart, and no more. As of real hypervisors, nobody is told.
    Autostart(bool),
}

/// Something that is to go wrong when it comes to pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// To this VM; to any if none.
    pub vm: Option<VmId>,
    /// It is used up after so many times.
    pub times: u32,
    /// What.
    pub kind: RuleKind,
}

/// What a rule does, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleKind {
    /// When a job enters a phase.
    Phase(Phase, Trap),
    /// When a call comes in: of one kind, or of any.
    Call(Option<CallKind>, Twist),
    /// When a transfer breaks in its finish phase.
    Finish(FinishBreak),
}

/// What happens to a job that enters a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trap {
    /// It fails, with this text.
    Fail(String),
    /// It stands still until it is released.
    Hold,
    /// This goes wrong besides.
    Inject(Box<Fault>),
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Twist {
    /// It is refused, with this text.
    Refuse(String),
    /// It fails with this text and leaves nothing.
    Fail(String),
    /// It takes so many simulated milliseconds before it takes effect.
    Hang(u64),
    /// It takes effect and its answer is lost.
    LoseReply,
}

/// How often things go wrong at random, in thousandths of the occasions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FaultRates {
    /// Live transfers that fail, in a phase that is drawn.
    pub transfer_fails: u16,
    /// Calls that fail and leave nothing.
    pub call_fails: u16,
    /// Calls whose answer is lost.
    pub reply_lost: u16,
    /// Calls that hang.
    pub call_hangs: u16,
    /// How long these hang, in simulated milliseconds.
    pub hang_ms: u64,
}

/// Why a fault could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FaultError {
    /// No such site.
    #[error("this world has no site {0}")]
    NoSuchSite(SiteName),
    /// No such host.
    #[error("site {0} has no host {1}")]
    NoSuchHost(SiteName, HostName),
    /// No such link.
    #[error("no link joins {0} and {1}")]
    NoSuchLink(SiteName, SiteName),
    /// Too many rules wait already.
    #[error("more than {RULES_MAX} rules wait")]
    TooManyRules,
    /// The hypervisor would not do it.
    #[error("the hypervisor would not: {0}")]
    Hypervisor(#[source] HypervisorError),
}

impl Fault {
    /// A rule that applies once, to one VM.
    #[must_use]
    pub fn once(vm: VmId, kind: RuleKind) -> Fault {
        Fault::Rule(Rule { vm: Some(vm), times: 1, kind })
    }
}

impl FaultError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            FaultError::NoSuchSite(_)
            | FaultError::NoSuchHost(..)
            | FaultError::NoSuchLink(..)
            | FaultError::TooManyRules => Class::Refused,
            FaultError::Hypervisor(error) => error.class(),
        }
    }
}
