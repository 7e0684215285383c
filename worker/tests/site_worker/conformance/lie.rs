//! The lies, each of one promise.

/// How a worker breaks a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Not at all.
    None,
    /// Its status doesn't say when its newest entry was written.
    HidesNewestEntry,
    /// It lists a VM twice.
    ListsTwice,
    /// Its survey lacks what VMs need.
    LeavesOutNeeds,
    /// It proves a path that nobody asked about.
    RepeatsAnotherNonce,
    /// It grants a claim that expects an epoch which has passed.
    GrantsOldClaims,
    /// It takes one request id for several requests.
    ForgetsRequests,
    /// It doesn't say who was refused on the roll.
    HidesRollsRefusals,
    /// It answers no command after one that it refused.
    StopsAtFirstRefusal,
    /// It answers what is below the floor.
    ForgetsFloors,
    /// It answers a fenced observe with the floor that was asked for, and doesn't raise it.
    FencesNothing,
    /// It does again what it did.
    RepeatsCommands,
    /// It lets a command wait for another, carries it out, and says that it was busy.
    DoesAndSaysBusy,
    /// All its readings are as of the first.
    ReadsAsOfOnce,
    /// It doesn't say whose a placeholder is.
    HidesMarks,
    /// It doesn't say which of its hosts did not answer.
    HidesSilentHosts,
    /// Its events carry another token than their commits.
    ChangesEventsToken,
    /// It answers a commit for which nothing has arrived as if it were done.
    CommitsEarly,
    /// It says that it has unsealed what it could not ask about.
    TakesSilenceForNo,
    /// Its history lacks what raised floors.
    SkipsLine,
    /// Its history, resumed in small pages, says a line again.
    RepeatsLine,
    /// A watch that is resumed tells nothing of what has changed since.
    ForgetsChanges,
    /// It takes claims that make no sense.
    TakesNonsense,
    /// It doesn't say which field makes no sense.
    NamesNoField,
    /// It never says that its VM is gone.
    HidesGone,
    /// After its restart it answers what is below the floor.
    ForgetsFloorsAtRestart,
    /// After its restart it does again what it did.
    RepeatsCommandsAfterRestart,
}
