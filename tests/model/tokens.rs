//! Tokens made small: only their order counts, and so the number of states is finite.

use crate::state::{Kept, Message, State};
use muster_core::ledger::{ArrivalRecord, AtDestination, AtSource, SourceState, Standing, VmRow};
use muster_core::token::Token;

impl State {
    /// Gives every state that differs only in how large its tokens are, one form: only their order counts.
    pub(crate) fn canonical(mut self) -> Self {
        let mut tokens = Vec::with_capacity(12);
        self.each_token(&mut |token| tokens.push(*token));
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
            self.each_token(&mut |token| {
                if let Ok(index) = tokens.binary_search(token) {
                    *token = small[index];
                }
            });
        }
        self.bag.sort_unstable_by_key(Message::rank);
        self
    }

    fn each_token(&mut self, visit: &mut dyn FnMut(&mut Token)) {
        for row in [&mut self.source.row, &mut self.destination.row] {
            let mut changed = VmRow::clone(row);
            row_tokens(&mut changed, visit);
            if changed != **row {
                *row = Kept::new(changed);
            }
        }
        self.actors.iter_mut().for_each(|actor| visit(&mut actor.last));
        self.bag.iter_mut().for_each(|message| visit(&mut message.token));
    }
}

/// The tokens that later steps compare. Those of records are history; they are blanked when a record is written.
fn row_tokens(row: &mut VmRow, visit: &mut dyn FnMut(&mut Token)) {
    visit(&mut row.floor);
    if let Some(intent) = &mut row.intent {
        visit(&mut intent.token);
    }
    if let Some(enrolled) = &mut row.enrolled {
        match &mut enrolled.standing {
            Standing::Source(AtSource { state, .. }) => match state {
                SourceState::Sealed { transfer: Some(transfer) } | SourceState::Gone { transfer } => {
                    visit(&mut transfer.token);
                }
                SourceState::Sealed { transfer: None } | SourceState::Unsealed | SourceState::Retired => {}
            },
            Standing::Destination(at) => blank(at),
        }
    }
}

fn blank(at: &mut AtDestination) {
    match &mut at.record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => started.token = Token::ZERO,
        ArrivalRecord::Completed(completed) => {
            completed.token = Token::ZERO;
            completed.started.token = Token::ZERO;
        }
        ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => {}
    }
    at.leftovers.iter_mut().for_each(|leftover| leftover.token = Token::ZERO);
}
