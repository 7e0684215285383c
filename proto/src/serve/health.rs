//! `grpc.health.v1`: whether a daemon can work, asked when somebody asks. It keeps nothing that could be out of date.

use crate::status::status_with_code;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{self, BoxStream, StreamExt};
use muster_core::class::Class;
use muster_core::ids::clip;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The name of this service.
pub const SERVICE: &str = "grpc.health.v1.Health";

/// What a daemon says of itself.
pub trait Standing: Send + Sync + 'static {
    /// Whether it takes work now.
    fn is_serving(&self) -> bool;

    /// Waits until it takes work or, for `false`, until it takes none; for ever where that can't be any more.
    fn until(&self, serving: bool) -> BoxFuture<'_, ()>;

    /// Waits until it is about to end. From then on it takes no work.
    fn until_ending(&self) -> BoxFuture<'_, ()>;
}

/// The health of a daemon: by its service's name, and by the empty one for the whole.
pub fn health(service: &'static str, standing: Arc<dyn Standing>) -> HealthServer<impl Health> {
    HealthServer::new(Watched { service, standing })
}

struct Watched {
    service: &'static str,
    standing: Arc<dyn Standing>,
}

impl Watched {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || service == self.service
    }
}

#[tonic::async_trait]
impl Health for Watched {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if self.knows(&service) {
            return Ok(Response::new(answer(self.standing.is_serving())));
        }
        let what = format!("there is no service {:?} here; ask for {:?}, or for \"\"", clip(&service), self.service);
        Err(status_with_code(Code::NotFound, Class::Refused, "NO_SERVICE", &what))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let standing = Arc::clone(&self.standing);
        if !self.knows(&request.into_inner().service) {
            // As the protocol has it: the service may come to be known while this is watched. It never does here.
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            let ending = stream::once(async move { standing.until_ending().await }).filter_map(|()| async { None });
            return Ok(Response::new(stream::iter([Ok(unknown)]).chain(ending).boxed()));
        }
        let told = stream::unfold(None, move |last: Option<bool>| {
            let standing = Arc::clone(&standing);
            async move {
                let now = match last {
                    None => standing.is_serving(),
                    Some(last) => match select(standing.until(!last), standing.until_ending()).await {
                        // The first of the two where both are so: who is about to end says that it takes no work.
                        Either::Left(((), _)) => !last,
                        Either::Right(((), _)) => return None,
                    },
                };
                Some((Ok(answer(now)), Some(now)))
            }
        });
        Ok(Response::new(told.boxed()))
    }
}

fn answer(serving: bool) -> HealthCheckResponse {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}
