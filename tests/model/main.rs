//! The protocol on paper that runs: one VM's move, every interleaving of it within stated bounds.
//!
//! What is checked is the shipped logic: [`muster_core::decide::decide`], the ledger's state machine with its floors,
//! claims and records (`ledger::transition`), and the weighing of two sites' readings (`ledger::weigh`). The model adds
//! what surrounds them: two sites with their hypervisors and workers, commands on their way, and those who settle.
//!
//! # What is modelled
//! - `hypervisor.rs`: a live transfer in its stages; a source that resumes its paused guest, or lets it go late, after an
//!   answer got lost; a daemon's restart that cancels the job; copies dropped when nobody sends to them.
//! - `hosts.rs`: hosts that restart and boot what has autostart; or are cut off from their worker while all goes on there, or
//!   die, and come back at any later moment, or never. The whole source site dies and comes back. Attempts take turns on the
//!   destination's hosts.
//! - `worker.rs`: a command changes the ledger first, floor test and all; the hypervisor's call lands later, fails, hangs and
//!   lands where nobody sees it, or is lost with its worker, or goes on without it, and the intent keeps the site busy until
//!   it has ended. The source's worker writes its proof of "gone" down and sends `CommitArrival` with the transfer's token.
//! - `actor.rs`: two orchestrators and a recovery, any of which may fall silent at any moment for good and speak up again at any
//!   other, or die and be started again. Streamed readings are taken at different times, in either order; a fenced observe
//!   raises both floors, reads the source until it is idle, then the destination. A person cancels at any moment.
//! - `claiming.rs`: a claim reads first and compares and sets later, so that claims race; a recovery's is not taken over. A
//!   person swears that a dead source can't run anything.
//! - Commands are arbitrarily late, doubled, or never arrive. Whoever settles may stop waiting for what it sent.
//! - A move back afterwards: the sites change places with their ledgers, and what was sent for the first evacuation is still
//!   under way.
//!
//! # What is checked
//! `check.rs`: the invariants in every state, and every verdict and hold against the truth. `settles.rs`: from every state, once
//! faults end, one actor alone brings the move to its end within a stated number of steps, whichever end it wants: what was lost
//! comes back; or it stays away, and then the move ends or is held for a reason that shows. `red.rs`: every rule that the design
//! forbids yields its counterexample.
//!
//! # Bounds
//! Each test names its own: how many faults in one history (doubled commands, lost patience, deaths of workers, orchestrators,
//! hosts and sites, cuts, failed calls, lost answers, restarts of daemons, a site that doesn't answer one observe), how
//! many attempts, who takes part. Two commands of those who settle are under way at once, `CommitArrival` besides. Nothing else
//! is bounded: tokens are renumbered in their order, so that the state space is finite without a limit on steps.
//!
//! # What is not modelled
//! Cold and powered-off moves, copied disks, people who resume or start a copy by hand, an admin's release, a destination site
//! that dies with its ledger, the journal, and more than one VM. The roll is written before the first step. A ledger loses
//! nothing. A look at a hypervisor and the ledger's write in one exclusive section of a worker are one step.

mod actor;
mod check;
mod claiming;
mod clean;
mod deciding;
mod figures;
mod hosts;
mod hypervisor;
mod kept;
mod message;
mod model;
mod order;
mod protocol;
mod reading;
mod red;
mod settles;
mod state;
mod tokens;
mod worker;
