//! Makes a ledger anew. Reads hypervisors and other sites, writes one new file and nothing else.

use super::Transport;
use super::worker::hypervisors;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::RebuildOrder;
use crate::output::ledger::{Remade, ShownGap, standing, text};
use crate::writer::Writer;
use muster_core::env::Env;
use muster_core::ledger::rebuild::{Traces, rebuild};
use muster_core::reading::Inventory;
use muster_recovery::error::LinkError;
use muster_recovery::link::{Patience, SiteLink};
use muster_recovery::rolls::{Known, known_at};
use muster_store::sqlite::SqliteLedger;
use muster_worker::traces::look_around;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) async fn run(
    order: RebuildOrder,
    env: Arc<dyn Env>,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    SqliteLedger::must_be_free(&order.ledger)?;
    let (known, silent_peers) = known(&order, &env, transport).await?;
    let hypervisor = hypervisors(&order.hypervisor, &order.site)?;
    let seen = look_around(hypervisor.as_ref()).await.map_err(|error| CliError::Daemon {
        what: "the site's hypervisors",
        why: error.to_string(),
        class: error.class(),
    })?;
    let silent_hosts = silent_hosts(&order, &seen.inventory)?;
    let mut peers = order.peers.keys();
    let from = peers.next().filter(|_| peers.next().is_none());
    let (site, now) = (&order.site, env.now());
    let (inventory, sights) = (&seen.inventory, &seen.sights);
    let rebuilt = rebuild(&Traces { site, from, inventory, sights, rolls: &known.rolls, moved: &known.moved, now });
    SqliteLedger::rebuild(&order.ledger, now, &rebuilt.rows).await?;
    let mut rows: BTreeMap<&'static str, u64> = BTreeMap::new();
    for row in &rebuilt.rows {
        *rows.entry(standing(row)).or_default() += 1;
    }
    let gaps = rebuilt.gaps.into_iter().map(|gap| ShownGap {
        name: name_of(&seen.inventory, &gap),
        message: gap.what.sentence(),
        gap,
    });
    let remade =
        Remade { ledger: order.ledger.display().to_string(), rows, gaps: gaps.collect(), silent_peers, silent_hosts };
    writer.result(&remade, text);
    Ok(if remade.is_complete() { Exit::Done } else { Exit::Held })
}

fn name_of(inventory: &Inventory, gap: &muster_core::ledger::rebuild::Gap) -> String {
    let listed = inventory.vms.iter().find(|listed| listed.vm == gap.vm);
    listed.map_or_else(|| gap.vm.to_string(), |listed| listed.definition.name.to_string())
}

/// What the other sites' ledgers know; and who doesn't answer.
async fn known(
    order: &RebuildOrder,
    env: &Arc<dyn Env>,
    transport: &Transport,
) -> Result<(Known, Vec<String>), CliError> {
    let (mut all, mut silent) = (Known::default(), Vec::new());
    for (site, address) in &order.peers {
        let asked = async {
            let (env, patience) = (Arc::clone(env), Patience::default());
            let link = SiteLink::connect(site.clone(), address, transport.dial().as_ref(), env, patience).await?;
            link.status().await?;
            known_at(&link).await
        };
        match asked.await {
            Ok(known) => {
                all.rolls.extend(known.rolls);
                all.moved.extend(known.moved);
            }
            Err(LinkError::Silent { .. }) if order.without_silent_peers => silent.push(site.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((all, silent))
}

fn silent_hosts(order: &RebuildOrder, inventory: &Inventory) -> Result<Vec<String>, CliError> {
    let silent: Vec<String> =
        inventory.hosts.iter().filter(|host| !host.answers).map(|host| host.host.to_string()).collect();
    if silent.is_empty() || order.without_silent_hosts {
        return Ok(silent);
    }
    Err(CliError::Daemon {
        what: "the site's hypervisors",
        why: format!(
            "{} do not answer, and what they hold would be taken for not there; bring them back, or give --without-silent-hosts if \
             they never come back",
            silent.join(", ")
        ),
        class: muster_core::class::Class::Refused,
    })
}
