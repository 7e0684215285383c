//! Requests that make no sense.

use crate::conformance::play::{Play, essence};
use crate::conformance::stage::Stage;
use crate::conformance::wire::{Seen, hold};
use crate::conformance::{CALL_DEADLINE, NOWHERE};
use futures::FutureExt;
use futures::future::BoxFuture;
use muster_core::class::Class;
use muster_core::ids::clip;
use muster_proto::limits::{ITEMS_MAX, PAGE_MAX};
use muster_proto::status::Fault;
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use uuid::Uuid;

type Answer = BoxFuture<'static, Result<(), Status>>;

/// A request, the field that is wrong, and what is wrong with it.
struct Bad {
    what: &'static str,
    field: &'static str,
    answer: Answer,
}

/// What sensible requests are made of; each bad one differs in one thing.
struct Base {
    client: SiteClient<Channel>,
    as_worker: SiteClient<Channel>,
    request_id: String,
    evacuation: String,
    vm: String,
    epoch: u64,
    entry: wire::RollEntry,
}

pub(super) async fn bad_input(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let base = Base {
        client: stage.site.client.clone(),
        as_worker: stage.site.as_worker.clone(),
        request_id: stage.request().to_string(),
        evacuation: play.evacuation.to_string(),
        vm: play.vm.to_string(),
        epoch: play.epoch.0,
        entry: play.entry.clone().into(),
    };
    let (before, newest) = (play.reading().await?, stage.site.status().await?.newest_sequence);
    let bad = [base.commands(), base.actions(), base.rolls(), base.claims(), base.reads(), base.commits()];
    for Bad { what, field, answer } in bad.into_iter().flatten() {
        let answer = tokio::time::timeout(CALL_DEADLINE, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        stage.site.log.add(&format!("{what} ({field})"), &answer.as_ref().map_err(Fault::from));
        let Err(status) = answer else {
            return hold(false, "a request that makes no sense was taken", &(what, field));
        };
        let fault = Fault::from(&status);
        let is_invalid = status.code() == Code::InvalidArgument && fault.class == Class::Refused;
        hold(is_invalid, "a request that makes no sense was not refused as INVALID_ARGUMENT", &(what, &status))?;
        let names_it = fault.violations.iter().any(|violation| violation.field.starts_with(field));
        hold(names_it, &clip(&format!("{what}: no violation names the field {field}")), &fault.violations)?;
    }
    let after = play.reading().await?;
    let same = essence(&after) == essence(&before);
    hold(same, "requests that make no sense changed something", &(&before, &after))?;
    let newest_now = stage.site.status().await?.newest_sequence;
    hold(newest_now == newest, "requests that make no sense were written down as changes", &(newest, newest_now))
}

/// More ids than one request may have, each once.
fn too_many() -> impl Iterator<Item = String> {
    (1..=ITEMS_MAX + 1).map(|number| Uuid::from_u128(u128::try_from(number).unwrap_or(u128::MAX)).to_string())
}

impl Base {
    fn token(&self) -> Option<wire::Token> {
        Some(wire::Token { epoch: self.epoch, sequence: 1 << 40 })
    }

    fn abandon(&self) -> wire::Command {
        self.command(wire::command::Action::Abandon(1))
    }

    fn command(&self, action: wire::command::Action) -> wire::Command {
        let (vm, token) = (self.vm.clone(), self.token());
        wire::Command { vm, token, action: Some(action), ..wire::Command::default() }
    }

    fn execute(&self, commands: Vec<wire::Command>) -> wire::ExecuteRequest {
        let (request_id, evacuation) = (self.request_id.clone(), self.evacuation.clone());
        wire::ExecuteRequest { request_id, evacuation, commands }
    }

    fn executing(&self, what: &'static str, field: &'static str, request: wire::ExecuteRequest) -> Bad {
        let mut client = self.client.clone();
        let answer = async move { client.execute(request).await?.into_inner().message().await.map(drop) };
        Bad { what, field, answer: answer.boxed() }
    }

    fn commands(&self) -> Vec<Bad> {
        let one = |command: wire::Command| self.execute(vec![command]);
        let oversized = too_many().map(|vm| wire::Command { vm, ..self.abandon() }).collect();
        vec![
            self.executing(
                "no request id",
                "request_id",
                wire::ExecuteRequest { request_id: String::new(), ..one(self.abandon()) },
            ),
            self.executing(
                "an evacuation that is no UUID",
                "evacuation",
                wire::ExecuteRequest { evacuation: "all".to_owned(), ..one(self.abandon()) },
            ),
            self.executing(
                "a VM that is no UUID",
                "commands[0].vm",
                one(wire::Command { vm: "web-1".to_owned(), ..self.abandon() }),
            ),
            self.executing(
                "an empty VM",
                "commands[1].vm",
                self.execute(vec![self.abandon(), wire::Command { vm: String::new(), ..self.abandon() }]),
            ),
            self.executing("a VM twice", "commands[1].vm", self.execute(vec![self.abandon(), self.abandon()])),
            self.executing("too many commands", "commands", self.execute(oversized)),
            self.executing("no token", "commands[0].token", one(wire::Command { token: None, ..self.abandon() })),
            self.executing(
                "a token that no claim can issue",
                "commands[0].token",
                one(wire::Command { token: Some(wire::Token::default()), ..self.abandon() }),
            ),
            self.executing("no action", "commands[0].action", one(wire::Command { action: None, ..self.abandon() })),
        ]
    }

    fn actions(&self) -> Vec<Bad> {
        use wire::command::Action;
        let one = |what, action| self.executing(what, "commands[0].", self.execute(vec![self.command(action)]));
        let open = |host: &str, kind| Action::OpenAttempt(wire::OpenAttempt { host: host.to_owned(), kind });
        let transfer = wire::BeginTransfer {
            attempt: 1,
            destination_site: "elsewhere".to_owned(),
            destination_host: "elsewhere-1".to_owned(),
            ..wire::BeginTransfer::default()
        };
        vec![
            one("attempt 0", Action::Abandon(0)),
            one("a mark that is false", Action::Seal(false)),
            one("a host whose name is a path", open("../../etc", wire::ArrivalKind::Transfer.into())),
            one("a host whose name has a control character", open("host\u{7}", wire::ArrivalKind::Transfer.into())),
            one("a kind of arrival that is none", open("host-1", 0)),
            one("an outcome that is none", Action::CloseDestination(99)),
            one("a reason with a control character", Action::Release("because\u{1b}[31m".to_owned())),
            one("an empty reason", Action::Release(String::new())),
            one("65 connections", Action::Transfer(wire::BeginTransfer { connections: Some(65), ..transfer.clone() })),
            one(
                "a site without a name",
                Action::Transfer(wire::BeginTransfer { destination_site: String::new(), ..transfer }),
            ),
        ]
    }

    fn rolls(&self) -> Vec<Bad> {
        let definition = self.entry.definition.clone().unwrap_or_default();
        let with = |definition| vec![wire::RollEntry { definition: Some(definition), ..self.entry.clone() }];
        let write = |what, field, change: &dyn Fn(&mut wire::WriteRollRequest)| {
            let mut request = wire::WriteRollRequest {
                request_id: self.request_id.clone(),
                side: wire::Side::Destination.into(),
                epoch: self.epoch,
                entries: vec![self.entry.clone()],
            };
            change(&mut request);
            let mut client = self.client.clone();
            Bad { what, field, answer: async move { client.write_roll(request).await.map(drop) }.boxed() }
        };
        let named = wire::Definition { name: "web\n1".to_owned(), ..definition.clone() };
        let huge = wire::Definition { memory_mib: u64::MAX, ..definition };
        vec![
            write("a roll without a side", "side", &|roll| roll.side = 0),
            write("a roll of epoch 0", "epoch", &|roll| roll.epoch = 0),
            write("a roll of the last epoch of all", "epoch", &|roll| roll.epoch = u64::MAX),
            write("a VM twice on a roll", "entries[1].vm", &|roll| roll.entries.push(self.entry.clone())),
            write("a roll of two evacuations", "entries[1].evacuation", &|roll| {
                let (evacuation, vm) = (self.vm.clone(), self.evacuation.clone());
                roll.entries.push(wire::RollEntry { evacuation, vm, ..self.entry.clone() });
            }),
            write("too many entries", "entries", &|roll| {
                roll.entries =
                    too_many().map(|vm| wire::RollEntry { vm, definition: None, ..self.entry.clone() }).collect();
            }),
            write("an entry without a definition", "entries[0].definition", &|roll| roll.entries[0].definition = None),
            write("an entry without a mode", "entries[0].mode", &|roll| roll.entries[0].mode = 0),
            write("a VM's name with a control character", "entries[0].definition.name", &|roll| {
                roll.entries = with(named.clone())
            }),
            write("more memory than there is in the world", "entries[0].definition.memory_mib", &|roll| {
                roll.entries = with(huge.clone())
            }),
        ]
    }

    fn claims(&self) -> Vec<Bad> {
        let claim = |what, field, change: &dyn Fn(&mut wire::ClaimEvacuationRequest)| {
            let holder = wire::Holder { name: "somebody".to_owned(), kind: wire::HolderKind::Orchestrator.into() };
            let mut request = wire::ClaimEvacuationRequest {
                request_id: self.request_id.clone(),
                evacuation: self.evacuation.clone(),
                holder: Some(holder),
                expected_epoch: self.epoch,
                at_least_epoch: 0,
                take_over_reason: None,
            };
            change(&mut request);
            let mut client = self.client.clone();
            Bad { what, field, answer: async move { client.claim_evacuation(request).await.map(drop) }.boxed() }
        };
        let (mut releaser, mut asserter) = (self.client.clone(), self.client.clone());
        let (request_id, evacuation) = (self.request_id.clone(), self.evacuation.clone());
        let release =
            wire::ReleaseClaimRequest { request_id: request_id.clone(), evacuation: evacuation.clone(), epoch: 0 };
        let assertion = wire::AssertFencedRequest {
            request_id,
            evacuation,
            fenced: Some(wire::Fenced { what: Some(wire::fenced::What::Source(true)) }),
            reason: "a reason\r\nof two lines".to_owned(),
            by: "somebody".to_owned(),
        };
        vec![
            claim("a claim without a request id", "request_id", &|claim| claim.request_id.clear()),
            claim("a claim that nobody makes", "holder", &|claim| claim.holder = None),
            claim("a claim on the greatest epoch of all", "at_least_epoch", &|claim| claim.at_least_epoch = u64::MAX),
            claim("a claim taken over for no reason", "take_over_reason", &|claim| {
                claim.take_over_reason = Some(String::new())
            }),
            Bad {
                what: "a release of epoch 0",
                field: "epoch",
                answer: async move { releaser.release_claim(release).await.map(drop) }.boxed(),
            },
            Bad {
                what: "an assertion of two lines",
                field: "reason",
                answer: async move { asserter.assert_fenced(assertion).await.map(drop) }.boxed(),
            },
        ]
    }

    fn reads(&self) -> Vec<Bad> {
        let observe = |what, field, vms: Vec<wire::VmToken>| {
            let (mut client, evacuation) = (self.client.clone(), self.evacuation.clone());
            let request = wire::ObserveRequest { evacuation, vms };
            let answer = async move { client.observe(request).await?.into_inner().message().await.map(drop) };
            Bad { what, field, answer: answer.boxed() }
        };
        let item = wire::VmToken { vm: self.vm.clone(), token: None };
        let zero = wire::VmToken { token: Some(wire::Token::default()), ..item.clone() };
        let many = too_many().map(|vm| wire::VmToken { vm, token: None }).collect();
        let (mut roll, mut epochs) = (self.client.clone(), self.client.clone());
        let (mut survey, mut events, mut path) = (self.client.clone(), self.client.clone(), self.as_worker.clone());
        let list_roll = wire::ListRollRequest { evacuation: "x".to_owned() };
        let greatest = wire::GetGreatestEpochRequest { evacuation: self.evacuation.clone(), vms: too_many().collect() };
        let surveyed = wire::SurveyRequest { vms: too_many().collect(), ..Default::default() };
        let page = wire::ListEventsRequest { page_size: PAGE_MAX + 1, ..wire::ListEventsRequest::default() };
        let prove = wire::ProvePathRequest { source_site: NOWHERE.to_owned(), ..wire::ProvePathRequest::default() };
        vec![
            observe("an observation of a VM twice", "vms[1].vm", vec![item.clone(), item]),
            observe("an observation under a token that no claim can issue", "vms[0].token", vec![zero]),
            observe("an observation of too many", "vms", many),
            Bad {
                what: "a roll that is no UUID's",
                field: "evacuation",
                answer: async move { roll.list_roll(list_roll).await?.into_inner().message().await.map(drop) }.boxed(),
            },
            Bad {
                what: "the epoch of too many",
                field: "vms",
                answer: async move { epochs.get_greatest_epoch(greatest).await.map(drop) }.boxed(),
            },
            Bad {
                what: "a survey of too many",
                field: "vms",
                answer: async move { survey.survey(surveyed).await?.into_inner().message().await.map(drop) }.boxed(),
            },
            Bad {
                what: "a page that is too long",
                field: "page_size",
                answer: async move { events.list_events(page).await.map(drop) }.boxed(),
            },
            Bad {
                what: "a path without a nonce",
                field: "nonce",
                answer: async move { path.prove_path(prove).await.map(drop) }.boxed(),
            },
        ]
    }

    fn commits(&self) -> Vec<Bad> {
        let commit = |what, field, change: &dyn Fn(&mut wire::CommitArrivalRequest)| {
            let mut request = wire::CommitArrivalRequest {
                request_id: self.request_id.clone(),
                evacuation: self.evacuation.clone(),
                vm: self.vm.clone(),
                attempt: 1,
                token: self.token(),
                source_site: self.entry.source_site.clone(),
            };
            change(&mut request);
            let mut client = self.as_worker.clone();
            Bad { what, field, answer: async move { client.commit_arrival(request).await.map(drop) }.boxed() }
        };
        vec![
            commit("a commit of attempt 0", "attempt", &|commit| commit.attempt = 0),
            commit("a commit without a token", "token", &|commit| commit.token = None),
            commit("a commit by nobody", "source_site", &|commit| commit.source_site.clear()),
            commit("a commit of a VM that is no UUID", "vm", &|commit| "1".clone_into(&mut commit.vm)),
        ]
    }
}
