//! DESIGN §8, one file each.
