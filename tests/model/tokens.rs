//! Tokens made small: only their order counts, and so the number of states is finite. And orchestrators that have changed
//! places, made the same.

use crate::kept::Kept;
use crate::message::{Message, Sender};
use crate::protocol::Protocol;
use crate::state::State;
use muster_core::ledger::{ArrivalRecord, AtDestination, AtSource, SourceState, Standing, VmRow};
use muster_core::token::Token;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

impl State {
    /// Gives one form to all states that differ only in how large their tokens are, or in which orchestrator is which.
    pub(crate) fn canonical(mut self, protocol: &Protocol) -> Self {
        let mut tokens = Vec::with_capacity(16);
        self.each_token(&mut |token| tokens.push(token));
        tokens.sort_unstable();
        tokens.dedup();
        let mut small = Vec::with_capacity(tokens.len());
        let mut last = Token::ZERO;
        for token in &tokens {
            last = match (token.epoch == last.epoch, *token == Token::ZERO) {
                (_, true) => Token::ZERO,
                (true, false) => last.next(),
                (false, false) => Token::new(token.epoch.0, 1),
            };
            small.push(last);
        }
        if tokens != small {
            self.map_tokens(&|token| tokens.binary_search(&token).map_or(token, |index| small[index]));
        }
        if protocol.orchestrators == 2 {
            self.order_orchestrators();
        }
        self.bag.sort_unstable_by_key(Message::rank);
        self
    }

    /// Both are of one kind and want the same: which is which says nothing.
    fn order_orchestrators(&mut self) {
        let key = |actor: usize| {
            let mut hasher = DefaultHasher::new();
            self.actors[actor].hash(&mut hasher);
            (self.actors[actor].last, hasher.finish())
        };
        if key(0) <= key(1) {
            return;
        }
        self.actors.swap(0, 1);
        for message in &mut self.bag {
            message.sender = match message.sender {
                Sender::Actor(0) => Sender::Actor(1),
                Sender::Actor(1) => Sender::Actor(0),
                sender @ (Sender::Actor(_) | Sender::SourceWorker) => sender,
            };
        }
    }

    fn each_token(&self, visit: &mut dyn FnMut(Token)) {
        for row in [&self.source.row, &self.destination.row] {
            visit(row.floor);
            if let Some(intent) = &row.intent {
                visit(intent.token);
            }
            if let Some(token) = transfer_token(row) {
                visit(token);
            }
        }
        self.actors.iter().for_each(|actor| visit(actor.last));
        self.bag.iter().for_each(|message| visit(message.token));
    }

    fn map_tokens(&mut self, map: &dyn Fn(Token) -> Token) {
        for row in [&mut self.source.row, &mut self.destination.row] {
            let is_small = |token: Token| map(token) == token;
            let intent = row.intent.as_ref().map(|intent| intent.token);
            if is_small(row.floor) && intent.is_none_or(is_small) && transfer_token(row).is_none_or(is_small) {
                continue;
            }
            let mut changed = VmRow::clone(row);
            row_tokens(&mut changed, map);
            *row = Kept::new(changed);
        }
        self.actors.iter_mut().for_each(|actor| actor.last = map(actor.last));
        self.bag.iter_mut().for_each(|message| message.token = map(message.token));
    }
}

/// Those that later steps compare. Those of records are history; see [`blank`].
fn row_tokens(row: &mut VmRow, map: &dyn Fn(Token) -> Token) {
    row.floor = map(row.floor);
    if let Some(intent) = &mut row.intent {
        intent.token = map(intent.token);
    }
    if let Some(enrolled) = &mut row.enrolled
        && let Standing::Source(AtSource { state, .. }) = &mut enrolled.standing
    {
        match state {
            SourceState::Sealed { transfer: Some(transfer) } | SourceState::Gone { transfer } => {
                transfer.token = map(transfer.token);
            }
            SourceState::Sealed { transfer: None } | SourceState::Unsealed | SourceState::Retired => {}
        }
    }
}

fn transfer_token(row: &VmRow) -> Option<Token> {
    match row.standing() {
        Some(Standing::Source(AtSource { state, .. })) => match state {
            SourceState::Sealed { transfer: Some(transfer) } | SourceState::Gone { transfer } => Some(transfer.token),
            SourceState::Sealed { transfer: None } | SourceState::Unsealed | SourceState::Retired => None,
        },
        Some(Standing::Destination(_)) | None => None,
    }
}

/// Makes a row forget the tokens that nobody compares any more.
pub(crate) fn blank(row: &mut VmRow) {
    let Some(Standing::Destination(AtDestination { record, leftovers, .. })) =
        row.enrolled.as_mut().map(|enrolled| &mut enrolled.standing)
    else {
        return;
    };
    match record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => started.token = Token::ZERO,
        ArrivalRecord::Completed(completed) => {
            completed.token = Token::ZERO;
            completed.started.token = Token::ZERO;
        }
        ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => {}
    }
    leftovers.iter_mut().for_each(|leftover| leftover.token = Token::ZERO);
}
