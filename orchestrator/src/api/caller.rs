//! Who calls, and from where: what an order's line of the journal says of it.

use muster_proto::convert::{InvalidMessage, text};
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
}

impl Caller {
    /// Whoever made this request, which says that this is who orders.
    pub(crate) fn of<T>(request: &Request<T>, ordered_by: &str) -> Result<Self, InvalidMessage> {
        let by = if ordered_by.is_empty() { NOBODY.to_owned() } else { text("ordered_by", ordered_by.to_owned())? };
        Ok(Caller { by, origin: request.remote_addr().map(|address| address.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::transport::server::TcpConnectInfo;

    #[test]
    fn a_caller_is_who_the_message_says_at_the_connections_address() {
        let mut request = Request::new(());
        let nobody = Caller { by: NOBODY.to_owned(), origin: None };
        assert_eq!(Caller::of(&request, "").unwrap(), nobody);
        let remote_addr = Some("127.0.0.1:40312".parse().unwrap());
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        let ada = Caller { by: "ada".to_owned(), origin: Some("127.0.0.1:40312".to_owned()) };
        assert_eq!(Caller::of(&request, "ada").unwrap(), ada);
        assert!(Caller::of(&request, "a\nb").is_err());
    }
}
