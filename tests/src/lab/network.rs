//! The lab's wires, all of them inside its own namespaces: the switch has a bridge for each site and a link between the two,
//! each host a bridge for its guests and a wire to its site.
//!
//! ```text
//!  north-1 [br0]─────[north]──link-north══link-south──[south]─────[br0] south-1
//!                           (in the switch)                 └─────[br0] south-2
//! ```

use super::error::LabError;
use super::layout::{BRIDGE, Host, LINK_ENDS};
use super::place::run_inside;

/// Wires the switch: the sites' bridges and the link between them.
pub(super) async fn wire_switch(switch: u32, sites: [&str; 2]) -> Result<(), LabError> {
    let [north, south] = LINK_ENDS;
    ip(switch, "link set lo up").await?;
    ip(switch, &format!("link add name {north} type veth peer name {south}")).await?;
    for (site, end) in sites.into_iter().zip(LINK_ENDS) {
        ip(switch, &format!("link add name {site} type bridge forward_delay 0 stp_state 0")).await?;
        ip(switch, &format!("link set {end} master {site} up")).await?;
        ip(switch, &format!("link set {site} up")).await?;
    }
    Ok(())
}

/// Wires a host to its site.
pub(super) async fn wire_host(switch: u32, holder: u32, host: &Host) -> Result<(), LabError> {
    let Host { name, site, address, .. } = host;
    ip(switch, &format!("link add name {name} type veth peer name eth0 netns {holder}")).await?;
    ip(switch, &format!("link set {name} master {site} up")).await?;
    ip(holder, "link set lo up").await?;
    ip(holder, &format!("link add name {BRIDGE} type bridge forward_delay 0 stp_state 0")).await?;
    ip(holder, &format!("link set eth0 master {BRIDGE} up")).await?;
    // An address of its own keeps the bridge from taking that of the guest whose wire comes and goes.
    let last = address.rsplit('.').next().unwrap_or_default();
    ip(holder, &format!("link set {BRIDGE} address 52:54:00:77:00:{last} up")).await?;
    ip(holder, &format!("address add {address}/24 dev {BRIDGE}")).await
}

/// Plugs or unplugs a host's wire, at the switch.
pub(super) async fn plug(switch: u32, host: &Host, plugged: bool) -> Result<(), LabError> {
    ip(switch, &format!("link set {} {}", host.name, if plugged { "up" } else { "down" })).await
}

/// Runs `ip` inside a place, with arguments that hold no spaces of their own.
pub(super) async fn ip(holder: u32, arguments: &str) -> Result<(), LabError> {
    let command: Vec<&str> = ["ip"].into_iter().chain(arguments.split(' ')).collect();
    run_inside(holder, &command).await.map(|_| ())
}
