//! How many calls a service carries out at once. One more is told so at once, and when to come again: it waits in no
//! queue. Health is not counted: it answers also then. And how long a call is worked on, where its caller sets no deadline.
//!
//! What the transport refuses before the service sees it gets muster's words, so that its caller knows that nothing was done.

use crate::limits::SERVER_DEADLINE;
use crate::status::status_with_code;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use muster_core::class::Class;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};

/// Reason of a call that is turned away since too many are under way.
pub const TOO_MANY_CALLS: &str = "TOO_MANY_CALLS";

/// Reason of a call that took too long.
pub const OVERDUE: &str = "OVERDUE";

/// Reason of a call whose message is larger than one may be.
pub const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";

/// Reason of a call whose bytes are no message of its method.
pub const NOT_A_MESSAGE: &str = "NOT_A_MESSAGE";

/// Reason of a call to a method that the service doesn't have.
pub const NO_SUCH_METHOD: &str = "NO_SUCH_METHOD";

/// A service that carries out so many calls at once, and turns away the others.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    service: S,
    seats: Arc<Semaphore>,
    most: usize,
    long: &'static [&'static str],
}

impl<S> Counted<S> {
    /// At most `most` calls at once, whatever connections they come from. A stream counts until its end.
    #[must_use]
    pub fn new(service: S, most: usize) -> Self {
        Counted { service, seats: Arc::new(Semaphore::new(most)), most, long: &[] }
    }

    /// Methods that have a bound of their own, and so none of [`SERVER_DEADLINE`].
    #[must_use]
    pub fn with_long(self, long: &'static [&'static str]) -> Self {
        Counted { long, ..self }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            let what = format!("{} calls are under way, and no more are taken; try again in a moment", self.most);
            let refused = status_with_code(Code::ResourceExhausted, Class::Retry, TOO_MANY_CALLS, &what);
            return Box::pin(std::future::ready(Ok(refused.into_http())));
        };
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let is_long = self.long.contains(&method);
        let answered = self.service.call(request);
        Box::pin(async move {
            let answer = match is_long {
                true => answered.await?,
                false => match tokio::time::timeout(SERVER_DEADLINE, answered).await {
                    Ok(answer) => answer?,
                    Err(_) => return Ok(overdue().into_http()),
                },
            };
            if let Some(refused) = Status::from_header_map(answer.headers()).and_then(|made| put_into_words(&made)) {
                return Ok(refused.into_http());
            }
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    // Given back with the body.
                    let _held = &seat;
                    frame
                }))
            }))
        })
    }
}

/// What the transport has refused, in muster's words. A status that comes in place of an answer, and that muster didn't make,
/// was made before the service was called.
fn put_into_words(made: &Status) -> Option<Status> {
    if !made.details().is_empty() {
        return None;
    }
    let refused = |code, reason, what: &str| {
        let message = format!("{what}: {}; nothing was done", made.message());
        Some(status_with_code(code, Class::Refused, reason, &message))
    };
    match made.code() {
        Code::OutOfRange => refused(Code::OutOfRange, MESSAGE_TOO_LARGE, "the message is too large"),
        Code::Internal => refused(Code::InvalidArgument, NOT_A_MESSAGE, "the bytes are no message of this method"),
        Code::Unimplemented => {
            refused(Code::Unimplemented, NO_SUCH_METHOD, "the method or the encoding is not known here")
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => None,
    }
}

fn overdue() -> Status {
    let what = format!("not answered within {} s; read what stands before you repeat it", SERVER_DEADLINE.as_secs());
    status_with_code(Code::DeadlineExceeded, Class::Unknown, OVERDUE, &what)
}
