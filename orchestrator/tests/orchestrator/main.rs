//! Evacuations over simulated sites, with everything but the network, the disks and the clock as in the daemons.

#![allow(clippy::unwrap_used)]

mod alarms;
mod audit;
mod course;
mod evacuations;
mod faults;
mod guardians;
mod lists;
mod mortal;
mod retention;
mod serving;
mod stage;
mod watching;
