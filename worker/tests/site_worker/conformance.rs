//! The suite for workers, over a real worker and over workers that break one promise each.
//!
//! The broken ones are a real one behind a proxy that lies in one way. Exactly the case whose promise is broken has to fail.

mod lie;
mod proxy;

use crate::seams::TestEnv;
use crate::stage::{Stage, VM, address, host, site};
use futures::FutureExt;
use futures::future::BoxFuture;
use lie::Lie;
use muster_core::step::Side;
use muster_proto::channel::{Counterpart, Dial, DialError, SiteAddress};
use muster_worker::conformance::{Case, CaseResult, Report, Restart, Subject, check};
use muster_worker::hypervisor::sim::world::{Fault, HostFault};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;

/// Where the suite's ids begin: nobody else's.
const IDS_BEGIN: u64 = 0xc0_0000;

/// Channels that stand already: the site's, perhaps through a proxy, and its partner's.
struct Fixed {
    site: Channel,
    partner: Channel,
}

impl Dial for Fixed {
    fn dial<'a>(
        &'a self,
        at: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        let is_site = *at == address(Side::Source);
        async move { Ok(if is_site { self.site.clone() } else { self.partner.clone() }) }.boxed()
    }
}

/// How long a host that is silent from the beginning stays so, in milliseconds: past every end.
const SILENT_MS: u64 = 86_400_000;

/// Checks the source's worker, which tells this lie; the destination's is its partner. One of its hosts never answers.
async fn checked(lie: Lie) -> Report {
    let stage = Stage::set().await;
    stage.vm_on(VM, 1, 1_024).await;
    let silent = HostFault::Silent { for_ms: SILENT_MS };
    stage.world.inject(Fault::Host(site(Side::Source), host(Side::Source, 2), silent)).await.unwrap();
    let (real, partner) = (stage.client(Side::Source), stage.channel(Side::Destination).await);
    let liar = proxy::Proxy::new(real, lie);
    let restarted = liar.restarted();
    let dial = Arc::new(Fixed { site: proxy::serve(liar), partner });
    let stage = Arc::new(Mutex::new(stage));
    let restart: Restart = Arc::new(move || {
        let (stage, restarted) = (Arc::clone(&stage), Arc::clone(&restarted));
        async move {
            stage.lock().await.restart(Side::Source).await;
            restarted.cancel();
            Ok(())
        }
        .boxed()
    });
    let env = Arc::new(TestEnv { began: Instant::now(), drawn: AtomicU64::new(IDS_BEGIN << 32) });
    let (site, partner) = (address(Side::Source), Some(address(Side::Destination)));
    check(Subject {
        dial_as_worker: Arc::clone(&dial) as _,
        dial,
        site,
        partner,
        vm: None,
        restart: Some(restart),
        env,
    })
    .await
    .expect("it answers")
}

/// That exactly this case fails.
async fn only_fails(lie: Lie, case: Case) {
    let report = checked(lie).await;
    let failed = report.cases.iter().filter(|case| case.result == CaseResult::Failed);
    let found: Vec<_> = failed.map(|case| (case.case, case.why.clone().unwrap_or_default())).collect();
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [case.name()], "{lie:?}: {found:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_tells_no_lie_passes() {
    let report = checked(Lie::None).await;
    for case in &report.cases {
        assert_eq!(case.result, CaseResult::Passed, "{}: {:?}", case.case, case.why);
        assert!(!case.exchanges.is_empty(), "{}: nothing was sent", case.case);
    }
    assert_eq!(report.left.len(), 1, "{:?}", report.left);
}

/// A test for each lie, with the one case that has to find it.
macro_rules! found {
    ($($test:ident: $lie:ident by $case:ident,)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $test() {
                only_fails(Lie::$lie, Case::$case).await;
            }
        )*
    };
}

found! {
    a_status_without_the_newest_entrys_time_is_found: HidesNewestEntry by Status,
    a_vm_listed_twice_is_found: ListsTwice by Inventory,
    needs_left_out_are_found: LeavesOutNeeds by Survey,
    another_nonce_is_found: RepeatsAnotherNonce by Path,
    a_claim_granted_too_late_is_found: GrantsOldClaims by Claims,
    a_request_id_for_two_requests_is_found: ForgetsRequests by Claims,
    refusals_kept_back_are_found: HidesRollsRefusals by Roll,
    outcomes_left_out_are_found: StopsAtFirstRefusal by Isolated,
    forgotten_floors_are_found: ForgetsFloors by Order,
    an_observe_that_fences_nothing_is_found: FencesNothing by FencedObserve,
    a_repeated_command_done_again_is_found: RepeatsCommands by Idempotency,
    a_command_done_and_called_busy_is_found: DoesAndSaysBusy by Busy,
    a_reading_as_of_another_time_is_found: ReadsAsOfOnce by Evidence,
    a_mark_that_is_hidden_is_found: HidesMarks by Evidence,
    a_silent_host_that_is_hidden_is_found: HidesSilentHosts by Evidence,
    an_event_under_another_token_is_found: ChangesEventsToken by Commit,
    a_commit_taken_before_its_arrival_is_found: CommitsEarly by Commit,
    an_unsealing_on_silence_is_found: TakesSilenceForNo by Silence,
    a_line_left_out_is_found: SkipsLine by Events,
    a_line_told_twice_is_found: RepeatsLine by Events,
    a_change_missed_by_a_resumed_watch_is_found: ForgetsChanges by Watch,
    nonsense_that_is_taken_is_found: TakesNonsense by BadInput,
    nonsense_refused_without_its_field_is_found: NamesNoField by BadInput,
    a_source_that_never_writes_gone_is_found: HidesGone by Move,
    floors_forgotten_at_a_restart_are_found: ForgetsFloorsAtRestart by Restart,
    commands_done_again_after_a_restart_are_found: RepeatsCommandsAfterRestart by Restart,
}
