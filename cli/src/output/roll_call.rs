//! A roll call: what is proven of every VM, counted by verdict, and what is held.

use super::{counted, given, instant, table};
use muster_core::step::Step;
use muster_core::verdict::Verdict;
use muster_proto::v1 as wire;
use muster_recovery::explain::next;
use muster_recovery::roll_call::{Account, RollCallLine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The verdict of VMs whose move was never begun; they share a row.
const NEVER_BEGUN: &str = "NotStarted";

/// A roll call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RollCall {
    pub(crate) evacuation: Option<String>,
    /// Who was asked: "orchestrator", "workers", "destination" or "ledger".
    pub(crate) way: String,
    /// It was acted, not only reported.
    pub(crate) applied: bool,
    /// Recovery keeps its claim, since VMs are held.
    pub(crate) claim_kept: Option<bool>,
    /// How many VMs have which verdict, by its name.
    pub(crate) verdicts: BTreeMap<String, u64>,
    pub(crate) vms: u64,
    /// VMs that wait for a person or a returning site.
    pub(crate) held: u64,
    /// Every VM is accounted for, and nothing is left to be done for any.
    pub(crate) settled: bool,
    /// The sites whose ledgers nobody confirms to be whole.
    pub(crate) unconfirmed: Vec<Unconfirmed>,
    pub(crate) lines: Vec<Line>,
}

/// A ledger that nobody confirms to be whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unconfirmed {
    /// Whose it is; none where a file was read.
    pub(crate) site: Option<String>,
    /// When its newest entry was written; none where it has none.
    pub(crate) as_of_ms: Option<u64>,
}

/// One VM of a roll call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) vm: String,
    pub(crate) name: String,
    pub(crate) verdict: String,
    pub(crate) doubt: Option<String>,
    pub(crate) step: String,
    pub(crate) held_because: Option<String>,
    pub(crate) remedy: Option<String>,
    pub(crate) settled: bool,
    /// When the evidence was read; none if nobody answered.
    pub(crate) as_of_ms: Option<u64>,
    /// Nothing older than the evacuation's claim can change what was read.
    pub(crate) fenced: bool,
    pub(crate) error: Option<String>,
}

/// The evidence about one VM.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) lines: Vec<String>,
    pub(crate) verdict: Option<Line>,
}

impl RollCall {
    /// The roll call of these lines.
    pub(crate) fn of(evacuation: Option<String>, way: &str, applied: bool, lines: Vec<Line>) -> Self {
        let mut verdicts: BTreeMap<String, u64> = BTreeMap::new();
        for line in &lines {
            *verdicts.entry(line.verdict.clone()).or_default() += 1;
        }
        let count = |fits: fn(&Line) -> bool| u64::try_from(lines.iter().filter(|line| fits(line)).count());
        RollCall {
            evacuation,
            way: way.to_owned(),
            applied,
            claim_kept: None,
            verdicts,
            vms: count(|_| true).unwrap_or(u64::MAX),
            held: count(|line| line.held_because.is_some()).unwrap_or(u64::MAX),
            settled: lines.iter().all(|line| line.settled),
            unconfirmed: Vec::new(),
            lines,
        }
    }
}

impl From<&RollCallLine> for Line {
    fn from(line: &RollCallLine) -> Self {
        let (held_because, remedy) = match line.account() {
            Account::Held(hold) => (Some(hold.sentence().to_owned()), Some(hold.remedy().to_owned())),
            Account::Settled | Account::CanGoOn => (None, None),
        };
        let doubt = match line.decision.verdict {
            Verdict::Indeterminate(doubt) => Some(doubt.sentence().to_owned()),
            Verdict::NotStarted
            | Verdict::NotMigrated
            | Verdict::HandedOver
            | Verdict::FullyMigrated
            | Verdict::MemoryLost
            | Verdict::SplitBrain => None,
        };
        let step = match line.decision.step {
            Step::Hold(_) => "hold".to_owned(),
            Step::ObserveFenced | Step::Act(_) | Step::Wait(_) | Step::Settled(_) => next(line.decision.step),
        };
        Line {
            vm: line.entry.vm.to_string(),
            name: line.entry.definition.name.to_string(),
            verdict: line.decision.verdict.name().to_owned(),
            doubt,
            step,
            held_because,
            remedy,
            settled: line.account() == Account::Settled,
            as_of_ms: line.as_of().map(|at| at.0),
            fenced: line.fenced,
            error: line.error.clone(),
        }
    }
}

impl From<wire::RollCallLine> for Line {
    fn from(message: wire::RollCallLine) -> Self {
        Line {
            vm: message.vm,
            name: message.name,
            verdict: message.verdict,
            doubt: given(&message.doubt),
            step: message.step,
            held_because: given(&message.held_because),
            remedy: given(&message.remedy),
            settled: message.settled,
            as_of_ms: Some(message.as_of_ms).filter(|at| *at > 0),
            fenced: message.fenced,
            error: given(&message.error),
        }
    }
}

/// The roll call for people: a line a verdict, then what isn't settled.
pub(crate) fn text(call: &RollCall) -> String {
    let mut verdicts = table(["Verdict", "VMs", "What it means"]);
    for (verdict, count) in &call.verdicts {
        verdicts.row([verdict.clone(), count.to_string(), meaning(verdict).to_owned()]);
    }
    let mut text = vec![verdicts.to_string()];
    text.extend(unsettled(call));
    text.extend(call.unconfirmed.iter().map(lonely));
    text.push(sentence(call));
    text.join("\n")
}

/// What is held or can go on, a row each; those that were never begun and are held for one reason share a row.
pub(crate) fn unsettled(call: &RollCall) -> Option<String> {
    let mut table = table(["VM", "Verdict", "Why it is held, or what comes next", "What a person could do"]);
    let mut never_begun: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut rows = 0_u64;
    for line in call.lines.iter().filter(|line| !line.settled || line.error.is_some()) {
        let mut why = line.held_because.clone().unwrap_or_else(|| format!("next: {}", line.step));
        if let Some(doubt) = &line.doubt {
            why = format!("{doubt}; {why}");
        }
        if let Some(error) = &line.error {
            why = format!("{why} (last error: {error})");
        }
        let remedy = line.remedy.clone().unwrap_or_else(|| "recover --apply does it".to_owned());
        if line.verdict == NEVER_BEGUN && line.error.is_none() {
            *never_begun.entry((why, remedy)).or_default() += 1;
        } else {
            table.row([line.name.clone(), line.verdict.clone(), why, remedy]);
            rows += 1;
        }
    }
    for ((why, remedy), count) in never_begun {
        table.row([counted(count, "VM", "VMs"), NEVER_BEGUN.to_owned(), why, remedy]);
        rows += 1;
    }
    (rows > 0).then(|| table.to_string())
}

fn lonely(ledger: &Unconfirmed) -> String {
    let whose = match &ledger.site {
        Some(site) => format!("the ledger of {site}"),
        None => "this ledger".to_owned(),
    };
    match ledger.as_of_ms {
        Some(at) => format!(
            "no other site confirms that {whose} is whole: it is as of {}, its newest entry; what was written after that is lost, if \
             anything was",
            instant(at)
        ),
        None => format!("no other site confirms that {whose} is whole: it has no entry"),
    }
}

fn sentence(call: &RollCall) -> String {
    let as_of = call.lines.iter().filter_map(|line| line.as_of_ms).min();
    let as_of = as_of.map(|at| format!(", as of {}", instant(at))).unwrap_or_default();
    let standing = if call.settled {
        "every VM is accounted for and settled".to_owned()
    } else if call.held > 0 {
        counted(call.held, "VM is held", "VMs are held")
    } else {
        "no VM is held; recover --apply goes on".to_owned()
    };
    let kept = if call.claim_kept == Some(true) { "; recovery keeps its claim, so no orchestrator acts" } else { "" };
    format!("{}: {standing}{as_of}{kept}", counted(call.vms, "VM", "VMs"))
}

/// What a verdict means, in a few words.
pub(crate) fn meaning(verdict: &str) -> &'static str {
    match verdict {
        "NotStarted" => "at the source; nothing of its move was begun",
        "NotMigrated" => "the source's; its move was begun and has not come through",
        "HandedOver" => "whole at the destination, the source is gone; only the event is missing",
        "FullyMigrated" => "at the destination for good",
        "MemoryLost" => "its running state is gone on both sides; a disk is good",
        "SplitBrain" => "two copies run",
        "Indeterminate" => "two different truths fit the evidence; nothing is guessed",
        _ => "",
    }
}
