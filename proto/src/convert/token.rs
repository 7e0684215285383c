//! Tokens.

use super::invalid::InvalidMessage;
use super::read::{required, within_range};
use crate::worker::v1 as pb;
use muster_core::token::Token;

impl From<Token> for pb::Token {
    fn from(token: Token) -> Self {
        pb::Token { epoch: token.epoch.0, sequence: token.sequence.0 }
    }
}

impl TryFrom<pb::Token> for Token {
    type Error = InvalidMessage;
    fn try_from(message: pb::Token) -> Result<Self, InvalidMessage> {
        Ok(Token::new(message.epoch, message.sequence))
    }
}

/// A token that something is to be done under: claims count from 1, so an epoch of 0 is nobody's.
pub(super) fn issued_token(field: &str, message: Option<pb::Token>) -> Result<Token, InvalidMessage> {
    let token: Token = required(field, message)?;
    within_range("epoch", token.epoch.0, 1, u64::MAX).map_err(|invalid| invalid.within(field))?;
    Ok(token)
}
