//! A worker that is a real one, but for one lie.

use super::lie::Lie;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use muster_proto::channel::{endpoint, server, site_server};
use muster_proto::status::{Fault, INVALID_MESSAGE, status};
use muster_proto::worker::v1 as pb;
use muster_proto::worker::v1::site_client::SiteClient;
use muster_proto::worker::v1::site_server::Site;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Mutex as Turn;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, Result<T, Status>>;

/// A page as the suite asks for when it reads the history in small pieces.
const SMALL_PAGE_MAX: u32 = 100;

/// The proxy.
pub struct Proxy {
    client: SiteClient<Channel>,
    lie: Lie,
    restarted: Arc<CancellationToken>,
    first_at_ms: Mutex<Option<u64>>,
    turns: Mutex<BTreeMap<String, Arc<Turn<()>>>>,
}

impl Proxy {
    pub fn new(client: SiteClient<Channel>, lie: Lie) -> Self {
        Proxy { client, lie, restarted: Arc::default(), first_at_ms: Mutex::default(), turns: Mutex::default() }
    }

    /// Cancelled once the real worker was restarted.
    pub fn restarted(&self) -> Arc<CancellationToken> {
        Arc::clone(&self.restarted)
    }

    /// What the real worker says of a VM, whoever asks.
    async fn look(&self, evacuation: &str, vm: &str) -> pb::SiteReading {
        let vms = vec![pb::VmToken { vm: vm.to_owned(), token: None }];
        let request = pb::ObserveRequest { evacuation: evacuation.to_owned(), vms };
        let mut answers = self.client.clone().observe(request).await.unwrap().into_inner();
        match answers.message().await.unwrap().unwrap().result {
            Some(pb::observation::Result::Reading(reading)) => reading,
            other => panic!("{other:?}"),
        }
    }

    fn twisted(&self, mut reading: pb::SiteReading) -> pb::SiteReading {
        use pb::site_reading::Standing;
        if self.lie == Lie::ReadsAsOfOnce {
            reading.at_ms = *self.first_at_ms.lock().unwrap().get_or_insert(reading.at_ms);
        }
        if self.lie == Lie::HidesSilentHosts {
            reading.silent_hosts.clear();
        }
        if self.lie == Lie::HidesMarks {
            reading.sightings.iter_mut().for_each(|seen| seen.mark = None);
        }
        if self.lie == Lie::ChangesEventsToken
            && let Some(Standing::Destination(at)) = &mut reading.standing
            && at.mode() == pb::Mode::Off
            && let Some(pb::at_destination::Record::Completed(event)) = &mut at.record
            && let Some(token) = &mut event.token
        {
            token.sequence += 1;
        }
        if self.lie == Lie::HidesGone
            && let Some(Standing::Source(at)) = &mut reading.standing
            && let Some(pb::at_source::State::Gone(transfer)) = at.state.clone()
        {
            at.state = Some(pb::at_source::State::Sealed(pb::Sealed { transfer: Some(transfer) }));
        }
        reading
    }

    /// One command, as the lie has it.
    async fn command(
        &self,
        request: &pb::ExecuteRequest,
        mut command: pb::Command,
    ) -> Result<pb::CommandOutcome, Status> {
        let vm = command.vm.clone();
        let token = command.token.unwrap_or_default();
        let is_abandon = matches!(command.action, Some(pb::command::Action::Abandon(_)));
        let is_unseal = matches!(command.action, Some(pb::command::Action::Unseal(_)));
        let has_restarted = self.restarted.is_cancelled();
        let repeating = if has_restarted { Lie::RepeatsCommandsAfterRestart } else { Lie::RepeatsCommands };
        if self.lie == repeating && self.look(&request.evacuation, &vm).await.floor == Some(token) {
            command.token = Some(pb::Token { sequence: token.sequence + 1, ..token });
        }
        let turn = Arc::clone(self.turns.lock().unwrap().entry(vm.clone()).or_default());
        let mut was_busy = false;
        let _turn = if self.lie == Lie::DoesAndSaysBusy {
            was_busy = turn.try_lock().is_err();
            Some(turn.lock().await)
        } else {
            None
        };
        let one = pb::ExecuteRequest { commands: vec![command], ..request.clone() };
        let mut outcomes = self.client.clone().execute(one).await?.into_inner();
        let mut outcome = outcomes.message().await?.ok_or_else(|| Status::unknown("no outcome"))?;
        let said = match outcome.result.take() {
            Some(pb::command_outcome::Result::Failure(failure)) => {
                let is_below = failure.reason == "BELOW_FLOOR";
                let forgets = self.lie == Lie::ForgetsFloors && is_abandon && is_below
                    || self.lie == Lie::ForgetsFloorsAtRestart && has_restarted && is_below
                    || self.lie == Lie::TakesSilenceForNo && is_unseal && failure.reason == "DESTINATION_UNREAD";
                if forgets {
                    pb::command_outcome::Result::Reading(self.look(&request.evacuation, &vm).await)
                } else {
                    pb::command_outcome::Result::Failure(failure)
                }
            }
            Some(pb::command_outcome::Result::Reading(_)) if was_busy => {
                let class = pb::FailureClass::Retry.into();
                pb::command_outcome::Result::Failure(pb::Failure {
                    class,
                    reason: "BUSY".to_owned(),
                    message: "busy".to_owned(),
                })
            }
            Some(pb::command_outcome::Result::Reading(reading)) => {
                pb::command_outcome::Result::Reading(self.twisted(reading))
            }
            None => return Err(Status::unknown("no result")),
        };
        outcome.result = Some(said);
        Ok(outcome)
    }

    /// An observation of one VM, as the lie has it.
    async fn observation(&self, evacuation: &str, item: pb::VmToken) -> Result<pb::Observation, Status> {
        if let (Lie::FencesNothing, Some(token)) = (self.lie, item.token) {
            let mut reading = self.look(evacuation, &item.vm).await;
            let floor = reading.floor.unwrap_or_default();
            let is_enrolled = matches!(
                &reading.standing,
                Some(pb::site_reading::Standing::Destination(at)) if at.record == Some(pb::at_destination::Record::Enrolled(true))
            );
            if is_enrolled && (token.epoch, token.sequence) > (floor.epoch, floor.sequence) {
                reading.floor = Some(token);
                return Ok(pb::Observation { vm: item.vm, result: Some(pb::observation::Result::Reading(reading)) });
            }
        }
        let one = pb::ObserveRequest { evacuation: evacuation.to_owned(), vms: vec![item] };
        let mut answers = self.client.clone().observe(one).await?.into_inner();
        let mut answer = answers.message().await?.ok_or_else(|| Status::unknown("no answer"))?;
        if let Some(pb::observation::Result::Reading(reading)) =
            answer.result.take_if(|said| matches!(said, pb::observation::Result::Reading(_)))
        {
            answer.result = Some(pb::observation::Result::Reading(self.twisted(reading)));
        }
        Ok(answer)
    }
}

fn refused(status: &Status, reason: &str) -> bool {
    Fault::from(status).reason == reason
}

fn streamed<T: Send + 'static>(items: Vec<T>) -> Answer<Messages<T>> {
    Ok(Response::new(stream::iter(items.into_iter().map(Ok)).boxed()))
}

#[tonic::async_trait]
impl Site for Proxy {
    type ListInventoryStream = Messages<pb::InventoryItem>;
    type SurveyStream = Messages<pb::SurveyItem>;
    type ListRollStream = Messages<pb::RollEntry>;
    type ObserveStream = Messages<pb::Observation>;
    type ExecuteStream = Messages<pb::CommandOutcome>;
    type WatchStream = Messages<pb::SiteEvent>;

    async fn get_site(&self, request: Request<pb::GetSiteRequest>) -> Answer<pb::GetSiteResponse> {
        let mut said = self.client.clone().get_site(request.into_inner()).await?.into_inner();
        if self.lie == Lie::HidesNewestEntry {
            said.newest_entry_at_ms = None;
        }
        Ok(Response::new(said))
    }

    async fn list_inventory(&self, request: Request<pb::ListInventoryRequest>) -> Answer<Self::ListInventoryStream> {
        let stream = self.client.clone().list_inventory(request.into_inner()).await?.into_inner();
        let mut items: Vec<_> = stream.try_collect().await?;
        if self.lie == Lie::ListsTwice {
            items.extend(items.last().cloned());
        }
        streamed(items)
    }

    async fn survey(&self, request: Request<pb::SurveyRequest>) -> Answer<Self::SurveyStream> {
        let stream = self.client.clone().survey(request.into_inner()).await?.into_inner();
        let mut items: Vec<pb::SurveyItem> = stream.try_collect().await?;
        if self.lie == Lie::LeavesOutNeeds {
            items.retain(|item| !matches!(item.item, Some(pb::survey_item::Item::Needs(_))));
        }
        streamed(items)
    }

    async fn list_evacuations(
        &self,
        request: Request<pb::ListEvacuationsRequest>,
    ) -> Answer<pb::ListEvacuationsResponse> {
        self.client.clone().list_evacuations(request.into_inner()).await
    }

    async fn list_roll(&self, request: Request<pb::ListRollRequest>) -> Answer<Self::ListRollStream> {
        let stream = self.client.clone().list_roll(request.into_inner()).await?.into_inner();
        streamed(stream.try_collect().await?)
    }

    async fn get_greatest_epoch(
        &self,
        request: Request<pb::GetGreatestEpochRequest>,
    ) -> Answer<pb::GetGreatestEpochResponse> {
        self.client.clone().get_greatest_epoch(request.into_inner()).await
    }

    async fn claim_evacuation(&self, request: Request<pb::ClaimEvacuationRequest>) -> Answer<pb::Claims> {
        let claim = request.into_inner();
        let answer = self.client.clone().claim_evacuation(claim.clone()).await;
        let Err(status) = &answer else { return answer };
        let is_taken = self.lie == Lie::GrantsOldClaims && refused(status, "CLAIMED_IN_BETWEEN")
            || self.lie == Lie::ForgetsRequests && refused(status, "REQUEST_REUSED")
            || self.lie == Lie::TakesNonsense && status.code() == Code::InvalidArgument;
        if is_taken {
            let granted = pb::Claims {
                evacuation: claim.evacuation,
                epoch: claim.expected_epoch + 1,
                holder: claim.holder,
                ..pb::Claims::default()
            };
            return Ok(Response::new(granted));
        }
        answer
    }

    async fn release_claim(&self, request: Request<pb::ReleaseClaimRequest>) -> Answer<pb::Claims> {
        self.client.clone().release_claim(request.into_inner()).await
    }

    async fn assert_fenced(&self, request: Request<pb::AssertFencedRequest>) -> Answer<pb::Claims> {
        self.client.clone().assert_fenced(request.into_inner()).await
    }

    async fn write_roll(&self, request: Request<pb::WriteRollRequest>) -> Answer<pb::WriteRollResponse> {
        let mut said = self.client.clone().write_roll(request.into_inner()).await?.into_inner();
        if self.lie == Lie::HidesRollsRefusals {
            said.refused.clear();
        }
        Ok(Response::new(said))
    }

    async fn observe(&self, request: Request<pb::ObserveRequest>) -> Answer<Self::ObserveStream> {
        let request = request.into_inner();
        if request.vms.len() != 1 {
            let stream = self.client.clone().observe(request).await?.into_inner();
            return streamed(stream.try_collect().await?);
        }
        let mut answers = Vec::new();
        for item in request.vms {
            answers.push(self.observation(&request.evacuation, item).await?);
        }
        streamed(answers)
    }

    async fn execute(&self, request: Request<pb::ExecuteRequest>) -> Answer<Self::ExecuteStream> {
        let request = request.into_inner();
        let is_sense = muster_proto::convert::Execute::try_from(request.clone());
        if let Err(invalid) = is_sense {
            let unnamed = status(muster_core::class::Class::Refused, INVALID_MESSAGE, "it makes no sense");
            return Err(if self.lie == Lie::NamesNoField { unnamed } else { invalid.into() });
        }
        let mut outcomes = Vec::new();
        for command in request.commands.clone() {
            let outcome = self.command(&request, command).await?;
            let is_refused = matches!(outcome.result, Some(pb::command_outcome::Result::Failure(_)));
            outcomes.push(outcome);
            if is_refused && self.lie == Lie::StopsAtFirstRefusal {
                break;
            }
        }
        streamed(outcomes)
    }

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Answer<Self::WatchStream> {
        let request = request.into_inner();
        let stream = self.client.clone().watch(request).await?.into_inner();
        let mut is_behind = self.lie == Lie::ForgetsChanges && request.after_sequence > 0;
        let told = stream.try_filter(move |news| {
            let is_reading = matches!(news.event, Some(pb::site_event::Event::Reading(_)));
            is_behind &= !matches!(news.event, Some(pb::site_event::Event::Alive(_)));
            std::future::ready(!(is_behind && is_reading))
        });
        Ok(Response::new(told.boxed()))
    }

    async fn list_events(&self, request: Request<pb::ListEventsRequest>) -> Answer<pb::ListEventsResponse> {
        let mut request = request.into_inner();
        let is_resumed = request.after_sequence > 0 && (1..SMALL_PAGE_MAX).contains(&request.page_size);
        if self.lie == Lie::RepeatsLine && is_resumed {
            request.after_sequence -= 1;
        }
        let mut said = self.client.clone().list_events(request).await?.into_inner();
        if self.lie == Lie::SkipsLine {
            said.lines.retain(|line| line.event != "floor_raised");
        }
        Ok(Response::new(said))
    }

    async fn commit_arrival(&self, request: Request<pb::CommitArrivalRequest>) -> Answer<pb::CommandOutcome> {
        let request = request.into_inner();
        let mut outcome = self.client.clone().commit_arrival(request.clone()).await?.into_inner();
        let said = match outcome.result.take() {
            Some(pb::command_outcome::Result::Failure(failure))
                if self.lie == Lie::CommitsEarly && failure.reason == "NOT_ARRIVED" =>
            {
                Some(pb::command_outcome::Result::Reading(self.look(&request.evacuation, &request.vm).await))
            }
            Some(pb::command_outcome::Result::Reading(reading)) => {
                Some(pb::command_outcome::Result::Reading(self.twisted(reading)))
            }
            other => other,
        };
        outcome.result = said;
        Ok(Response::new(outcome))
    }

    async fn prove_path(&self, request: Request<pb::ProvePathRequest>) -> Answer<pb::ProvePathResponse> {
        let mut said = self.client.clone().prove_path(request.into_inner()).await?.into_inner();
        if self.lie == Lie::RepeatsAnotherNonce {
            said.nonce.push('x');
        }
        Ok(Response::new(said))
    }
}

/// Serves the proxy in memory, and returns a channel to it.
pub fn serve(proxy: Proxy) -> Channel {
    let (ends, incoming) = mpsc::unbounded_channel::<Result<tokio::io::DuplexStream, std::io::Error>>();
    let served = server().add_service(site_server(proxy)).serve_with_incoming(UnboundedReceiverStream::new(incoming));
    tokio::spawn(served);
    let connector = tower::service_fn(move |_: Uri| {
        let (near, far) = tokio::io::duplex(1 << 16);
        let sent = ends.send(Ok(far)).map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        async move { sent.map(|()| TokioIo::new(near)) }
    });
    endpoint(&crate::stage::address(muster_core::step::Side::Source)).unwrap().connect_with_connector_lazy(connector)
}
