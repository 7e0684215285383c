//! Exit codes. Documented in `--help`, and stable.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; of a roll call: every VM is accounted for and settled.
    Done,
    /// It failed; nothing more is known, or an evacuation ended with VMs that stayed behind.
    Failed,
    /// The command line, the runbook or another file given is wrong; nothing was done.
    Usage,
    /// VMs are held, or not settled yet.
    Held,
    /// A site, a ledger or the orchestrator refused; nothing was done.
    Refused,
    /// The audit trail's chain is broken.
    Broken,
}

impl Exit {
    /// The code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Held => 3,
            Exit::Refused => 4,
            Exit::Broken => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit codes, as `--help` shows them.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done; of a roll call: every VM is accounted for and settled
  1  failed; of an evacuation that was watched: it has ended and VMs stayed at the source
  2  the command line, the runbook or another file given is wrong; nothing was done
  3  VMs are held, or not settled yet
  4  refused by a site, a ledger or the orchestrator; nothing was done
  5  the audit trail's chain is broken, or isn't the one that the kept head is of

Environment:
  MUSTER_ORCHESTRATOR  the orchestrator's address, where --orchestrator doesn't say
  MUSTER_TLS           the directory of certificates, where --tls doesn't say
  MUSTER_LOG           what is traced to standard error, like info or muster_worker=debug (default: warn)";
