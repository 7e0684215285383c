//! DESIGN §4, one file each. Every file's head says what would turn it red.

mod explained;
mod fenced;
mod forward_only;
mod idempotent;
mod isolated;
mod no_endless_wait;
mod none_lost;
mod one_runner;
mod order;
mod silent_is_not_absent;
