//! A guardian: whatever else starts and stops a VM, as a high-availability manager does. A runbook names the commands that
//! take its hands off a VM for its move and give it back; here is what they are asked, and how far that has come.
//!
//! Plain values, folded from the journal. What a command does is its owner's business, and nothing here may rest on it: a VM's
//! evidence decides its move, whatever a command says of itself.

use crate::evacuation::JournalKind;
use crate::ids::CommandName;
use serde::{Deserialize, Serialize};

/// A tag `guardian:NAME` says that something of this name starts and stops the VM.
pub const GUARDIAN_TAG_PREFIX: &str = "guardian:";

/// The guardian that a VM's tags name. Of several the first.
#[must_use]
pub fn guardian_of(tags: &[String]) -> Option<&str> {
    tags.iter().find_map(|tag| tag.strip_prefix(GUARDIAN_TAG_PREFIX))
}

/// A guardian that a runbook knows how to deal with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Guardian {
    /// Its name, as the VMs' tags have it. No other guardian of the runbook has it.
    pub name: String,
    /// The command that takes its hands off a VM.
    pub hands_off: CommandName,
    /// The command that gives a VM back to it.
    pub give_back: CommandName,
    /// How long either may take, in milliseconds: [`Guardian::TIMEOUT_MIN_MS`] to [`Guardian::TIMEOUT_MAX_MS`], by default
    /// [`Guardian::TIMEOUT_MS`].
    pub timeout_ms: u64,
}

impl Guardian {
    /// Most guardians of a runbook.
    pub const COUNT_MAX: usize = 64;
    /// Longest name, in bytes.
    pub const NAME_MAX_BYTES: usize = 255;
    /// Default of `timeout_ms`.
    pub const TIMEOUT_MS: u64 = 60_000;
    /// Shortest timeout, in milliseconds.
    pub const TIMEOUT_MIN_MS: u64 = 100;
    /// Longest timeout, in milliseconds: an hour. The VM's move waits as long.
    pub const TIMEOUT_MAX_MS: u64 = 3_600_000;

    /// The call that asks it for this.
    #[must_use]
    pub fn call(&self, ask: Ask) -> GuardianCall {
        let command = match ask {
            Ask::HandsOff => &self.hands_off,
            Ask::GiveBack => &self.give_back,
        };
        GuardianCall { guardian: self.name.clone(), ask, command: command.clone() }
    }
}

/// What a guardian is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// To let go of the VM, before its move begins.
    HandsOff,
    /// To take the VM again, once its move is over.
    GiveBack,
}

impl Ask {
    /// Its name, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ask::HandsOff => "hands_off",
            Ask::GiveBack => "give_back",
        }
    }
}

/// One run of a command about a VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GuardianCall {
    /// The guardian.
    pub guardian: String,
    /// What it is asked for.
    pub ask: Ask,
    /// By which command.
    pub command: CommandName,
}

impl GuardianCall {
    fn words(&self) -> String {
        let GuardianCall { guardian, ask, command } = self;
        match ask {
            Ask::HandsOff => format!("take {guardian}'s hands off it, by command {command}"),
            Ask::GiveBack => format!("give it back to {guardian}, by command {command}"),
        }
    }
}

impl JournalKind {
    /// What a line about a guardian says, in plain words; none for all other lines.
    #[must_use]
    pub fn guardian_words(&self) -> Option<String> {
        if let JournalKind::CommandIntended { call } = self {
            Some(format!("about to {}", call.words()))
        } else if let JournalKind::CommandDone { call } = self {
            Some(format!("done: {}", call.words()))
        } else if let JournalKind::CommandFailed { call, error } = self {
            Some(format!("failed to {}: {error}", call.words()))
        } else {
            None
        }
    }
}

/// How it stands between a VM in its move and its guardian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// The guardian.
    pub guardian: String,
    /// How far it has come.
    pub state: CustodyState,
    /// Why its command last failed; none once it has succeeded.
    pub error: Option<String>,
}

/// How far it has come between a VM in its move and its guardian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustodyState {
    /// The command that takes its hands off was begun. Whether they are off is not known.
    TakingOff,
    /// Its hands are off.
    HandsOff,
    /// The move is over, and the VM still has to be given back. So it is too where taking the hands off failed: they may be off.
    Owed,
    /// It has the VM again.
    GivenBack,
}

impl Custody {
    /// As it stands after one more line about the same move.
    pub(crate) fn after(custody: Option<Custody>, kind: &JournalKind) -> Option<Custody> {
        if let JournalKind::CommandIntended { call: GuardianCall { guardian, ask: Ask::HandsOff, command: _ } } = kind {
            return Some(Custody { guardian: guardian.clone(), state: CustodyState::TakingOff, error: None });
        }
        let mut custody = custody?;
        if let JournalKind::CommandDone { call } = kind {
            custody.state = match call.ask {
                Ask::HandsOff => CustodyState::HandsOff,
                Ask::GiveBack => CustodyState::GivenBack,
            };
            custody.error = None;
        } else if let JournalKind::CommandFailed { call: _, error } = kind {
            custody.error = Some(error.clone());
        } else if matches!(kind, JournalKind::Settled { .. }) {
            match custody.state {
                CustodyState::TakingOff | CustodyState::HandsOff => {
                    custody = Custody { state: CustodyState::Owed, error: None, ..custody };
                }
                CustodyState::Owed | CustodyState::GivenBack => {}
            }
        }
        Some(custody)
    }

    /// Whether the VM still has to be given back, its move being over.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.state == CustodyState::Owed
    }
}
