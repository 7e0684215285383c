//! Groups of moves, and who comes after them. A group keeps those waiting while any of its moves is to be started or under way.

use crate::ids::VmId;
use std::collections::BTreeMap;

/// A group, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group(usize);

#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    numbers: BTreeMap<String, usize>,
    groups: Vec<Members>,
    /// For how many groups each move waits; one that waits for none isn't there.
    waiting_for: BTreeMap<VmId, usize>,
}

#[derive(Debug, Clone, Default)]
struct Members {
    /// Those to be started or under way.
    unfinished: usize,
    /// Who comes after it.
    followers: Vec<VmId>,
}

impl Groups {
    /// The group of this name; a name not seen before is a new one.
    pub(super) fn named(&mut self, name: &str) -> Group {
        if let Some(number) = self.numbers.get(name) {
            return Group(*number);
        }
        let number = self.groups.len();
        self.groups.push(Members::default());
        self.numbers.insert(name.to_owned(), number);
        Group(number)
    }

    /// Has a move that isn't scheduled yet wait for a group.
    pub(super) fn wait(&mut self, vm: VmId, before: Group) {
        let members = &mut self.groups[before.0];
        members.followers.push(vm);
        if members.unfinished > 0 {
            *self.waiting_for.entry(vm).or_default() += 1;
        }
    }

    /// Whether a move waits for any group.
    pub(super) fn is_kept(&self, vm: VmId) -> bool {
        self.waiting_for.contains_key(&vm)
    }

    /// Counts one more that is unfinished. Returns who waits since now.
    pub(super) fn keep(&mut self, group: Group) -> Vec<VmId> {
        let members = &mut self.groups[group.0];
        members.unfinished += 1;
        if members.unfinished > 1 {
            return Vec::new();
        }
        let followers = members.followers.iter().copied();
        let waiting_for = &mut self.waiting_for;
        followers
            .filter(|vm| {
                let count = waiting_for.entry(*vm).or_default();
                *count += 1;
                *count == 1
            })
            .collect()
    }

    /// Counts one less. Returns who waits for no group since now.
    pub(super) fn let_go(&mut self, group: Group) -> Vec<VmId> {
        let members = &mut self.groups[group.0];
        members.unfinished -= 1;
        if members.unfinished > 0 {
            return Vec::new();
        }
        let mut free = Vec::new();
        for vm in &members.followers {
            if let Some(count) = self.waiting_for.get_mut(vm) {
                *count -= 1;
                if *count == 0 {
                    self.waiting_for.remove(vm);
                    free.push(*vm);
                }
            }
        }
        free
    }
}
