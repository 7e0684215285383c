//! Who calls, and from where: what an order's line of the journal says of it, and how far it reaches.

use muster_core::party::{Party, Scope};
use muster_proto::convert::{InvalidMessage, text};
use muster_proto::tls;
use tonic::Request;

/// Who orders, where nobody says so.
const NOBODY: &str = "unknown";

/// Whoever makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// By name. Two calls of different names are never the same call.
    pub(crate) by: String,
    /// From where: the address of the connection. None where the transport has none. The same call may come from
    /// another address when it is repeated.
    pub(crate) origin: Option<String>,
    /// What an evacuation that it orders may hold.
    pub(crate) scope: Scope,
}

impl Caller {
    /// Whoever made this request: whom the door has let in by a certificate; else who the message says.
    pub(crate) fn of<T>(request: &Request<T>, ordered_by: &str) -> Result<Self, InvalidMessage> {
        let origin = tls::origin(request);
        let (by, scope) = match request.extensions().get::<Party>() {
            Some(party @ Party::Person { scope, .. }) => (party.name(), scope.clone()),
            Some(party @ (Party::Worker { .. } | Party::Orchestrator { .. })) => (party.name(), Scope::default()),
            None if ordered_by.is_empty() => (NOBODY.to_owned(), Scope::default()),
            None => (text("ordered_by", ordered_by.to_owned())?, Scope::default()),
        };
        Ok(Caller { by, origin, scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::tls::Peer;

    fn caller(by: &str, origin: Option<&str>) -> Caller {
        Caller { by: by.to_owned(), origin: origin.map(str::to_owned), scope: Scope::default() }
    }

    #[test]
    fn a_caller_is_who_the_message_says_at_the_connections_address() {
        let mut request = Request::new(());
        assert_eq!(Caller::of(&request, "").unwrap(), caller(NOBODY, None));
        let address = "127.0.0.1:40312".parse().unwrap();
        request.extensions_mut().insert(Peer { address, certified: None });
        assert_eq!(Caller::of(&request, "ada").unwrap(), caller("ada", Some("127.0.0.1:40312")));
        assert!(Caller::of(&request, "a\nb").is_err());
    }

    #[test]
    fn whom_a_certificate_names_is_nobody_else_whatever_the_message_says() {
        let mut request = Request::new(());
        let eve: Party = "muster://operator/eve?tag=team:a".parse().unwrap();
        request.extensions_mut().insert(eve);
        let found = Caller::of(&request, "ada").unwrap();
        assert_eq!((found.by.as_str(), found.scope.tags.len()), ("eve", 1));
    }
}
