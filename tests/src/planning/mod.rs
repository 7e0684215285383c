//! What timetables are measured with: problems made by seed, a check that knows nothing of how they are planned, and the true
//! optimum of small ones.

pub mod check;
pub mod families;
pub mod optimum;
