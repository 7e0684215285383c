//! DESIGN §8, one file each, and what else goes wrong with a whole site. Every file's head says what would turn it red.

mod as_of;
mod ledger_gone;
mod recheck;
mod s01_good_target_kept;
mod s02_two_running_copies;
mod s03_agent_restart;
mod s04_agent_down;
mod s05_recorded_shut_off;
mod s06_healthy_move_aborted;
mod s07_small_step_after_commit;
mod s08_first_failure_ends_batch;
mod s09_endless_loop_without_cancel;
mod s10_controller_restart;
mod s13_migrating_for_ever;
