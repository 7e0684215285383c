//! Commands that go to one site at the same moment go in one request. Outcomes come back one by one, so that a slow
//! command holds up nobody else.

use crate::error::LinkError;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, RequestId, SiteName, VmId};
use muster_core::reading::SiteReading;
use muster_proto::convert::{Execute, SiteCommand, VmAnswer};
use muster_proto::worker::v1::site_client::SiteClient;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Most commands in one request.
pub(super) const COMMANDS_PER_REQUEST_MAX: usize = 256;
/// Most commands that wait to be sent; who comes later waits.
pub(super) const COMMANDS_WAITING_MAX: usize = 4096;

type Answer = oneshot::Sender<Result<SiteReading, LinkError>>;

struct Waiting {
    evacuation: EvacuationId,
    command: SiteCommand,
    answer: Answer,
}

#[derive(Clone)]
struct Sender {
    site: SiteName,
    client: SiteClient<Channel>,
    env: Arc<dyn Env>,
    deadline: Duration,
}

/// The queue of commands to one site.
pub(super) struct Batcher {
    site: SiteName,
    queue: mpsc::Sender<Waiting>,
}

impl Batcher {
    pub(super) fn start(
        site: SiteName,
        client: SiteClient<Channel>,
        env: Arc<dyn Env>,
        deadline: Duration,
        stop: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
        let sender = Sender { site: site.clone(), client, env, deadline };
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = sender.run(waiting) => {}
            }
        });
        Batcher { site, queue }
    }

    pub(super) async fn execute(
        &self,
        evacuation: EvacuationId,
        command: SiteCommand,
    ) -> Result<SiteReading, LinkError> {
        let (answer, answered) = oneshot::channel();
        let gone = || LinkError::Silent { site: self.site.clone(), message: "the link was closed".to_owned() };
        self.queue.send(Waiting { evacuation, command, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Sender {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, COMMANDS_PER_REQUEST_MAX).await > 0 {
            for (evacuation, commands) in by_evacuation(std::mem::take(&mut batch)) {
                let sender = self.clone();
                tokio::spawn(async move { sender.send(evacuation, commands).await });
            }
        }
    }

    async fn send(mut self, evacuation: EvacuationId, batch: Vec<Waiting>) {
        let mut waiting: BTreeMap<VmId, Answer> = BTreeMap::new();
        let mut commands = Vec::with_capacity(batch.len());
        for one in batch {
            waiting.insert(one.command.vm, one.answer);
            commands.push(one.command);
        }
        let request = RequestId(self.env.new_id());
        let mut message = tonic::Request::new(Execute { request, evacuation, commands }.into());
        message.set_timeout(self.deadline);
        let error = match self.client.execute(message).await {
            Err(status) => LinkError::status(&self.site, &status),
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(outcome)) => match VmAnswer::try_from(outcome) {
                            Ok(VmAnswer { vm, result }) => {
                                let site = self.site.clone();
                                let result = result.map_err(|failure| LinkError::Answer { site, failure });
                                if let Some(answer) = waiting.remove(&vm) {
                                    // Whoever asked may have gone away.
                                    let _ = answer.send(result);
                                }
                            }
                            Err(source) => break LinkError::Nonsense { site: self.site.clone(), source },
                        },
                        Ok(None) => {
                            let message = "it left the command out of its answer".to_owned();
                            break LinkError::Silent { site: self.site.clone(), message };
                        }
                        Err(status) => break LinkError::status(&self.site, &status),
                    }
                }
            }
        };
        for answer in waiting.into_values() {
            let _ = answer.send(Err(error.clone()));
        }
    }
}

/// One request is about one evacuation, and has each VM once.
fn by_evacuation(batch: Vec<Waiting>) -> Vec<(EvacuationId, Vec<Waiting>)> {
    let mut requests: Vec<(EvacuationId, Vec<Waiting>)> = Vec::new();
    for one in batch {
        let fits = |(evacuation, commands): &&mut (EvacuationId, Vec<Waiting>)| {
            *evacuation == one.evacuation && commands.iter().all(|other| other.command.vm != one.command.vm)
        };
        match requests.iter_mut().find(fits) {
            Some((_, commands)) => commands.push(one),
            None => requests.push((one.evacuation, vec![one])),
        }
    }
    requests
}
