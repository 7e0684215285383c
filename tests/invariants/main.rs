//! DESIGN §4, one file each. Every file's head says what would turn it red.

mod one_runner;
