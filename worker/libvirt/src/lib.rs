//! The libvirt calls that the crate `virt` leaves out or can't make safely: domain events, the close of a connection, a
//! domain's state with its error, its job, and the job's abort.
//!
//! All of muster's unsafe code is here, and nothing else is: no decision, no retry, no thread but the event loop's.

#[cfg(feature = "libvirt")]
mod events;
#[cfg(feature = "libvirt")]
mod job;
#[cfg(feature = "libvirt")]
mod stream;

#[cfg(feature = "libvirt")]
pub use events::{Heard, Hearer, Lifecycle, Watch, run_event_loop, watch};
#[cfg(feature = "libvirt")]
pub use job::{Job, Operation, State, abort_job, completed_job, job, state};
#[cfg(feature = "libvirt")]
pub use stream::{Piece, receive, send, send_hole};
#[cfg(feature = "libvirt")]
pub use virt;
