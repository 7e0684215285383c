//! Who may ask what of a site. A table, and nothing else: denied is whatever it doesn't allow.
//!
//! ```text
//!                    viewer  operator  admin  orchestrator  worker
//! Look                 +        +        +         +          -
//! LookAtVms            +        +        +         +          +     another worker asks what has become of a VM
//! Act                  -        +        +         +          -
//! Override             -        -        +         +          -     an orchestrator passes on what an admin has ordered
//! Speak                -        -        -         -          +     for its own site alone
//! ```
//! A person's role counts at the sites of its scope. A scope of VMs' tags is the orchestrator's to judge, which knows every VM's
//! tags; such a person may ask nothing of a worker.

use muster_core::ids::SiteName;
use muster_core::party::{Party, Role};

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// To see what stands.
    Look,
    /// To see what is known of some VMs, without fencing them.
    LookAtVms,
    /// To change something.
    Act,
    /// To override what guards against a VM that runs twice.
    Override,
    /// To say something in the name of a site.
    Speak {
        /// The site.
        site: SiteName,
    },
}

/// Whether a party may ask this of the site; otherwise what it would need.
///
/// # Errors
/// What would be needed, in words.
pub fn permits(site: &SiteName, party: &Party, demand: &Demand) -> Result<(), String> {
    match party {
        Party::Orchestrator { .. } => match demand {
            Demand::Look | Demand::LookAtVms | Demand::Act | Demand::Override => Ok(()),
            Demand::Speak { site } => Err(format!("only the worker of {site} speaks for it")),
        },
        Party::Worker { site: own } => match demand {
            Demand::LookAtVms => Ok(()),
            Demand::Speak { site } if site == own => Ok(()),
            Demand::Speak { site } => Err(format!("only the worker of {site} speaks for it")),
            Demand::Look | Demand::Act | Demand::Override => Err("workers don't command each other".to_owned()),
        },
        Party::Person { role, scope, .. } => {
            let least = match demand {
                Demand::Look | Demand::LookAtVms => Role::Viewer,
                Demand::Act => Role::Operator,
                Demand::Override => Role::Admin,
                Demand::Speak { site } => return Err(format!("only the worker of {site} speaks for it")),
            };
            if !scope.tags.is_empty() {
                return Err("a certificate that is limited to tags counts at the orchestrator alone".to_owned());
            }
            if !scope.has_site(site) {
                return Err(format!("its certificate doesn't reach site {site}"));
            }
            if *role < least { Err(format!("it takes the role of {least}")) } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTIES: [&str; 8] = [
        "muster://viewer/v",
        "muster://operator/o",
        "muster://admin/a",
        "muster://orchestrator/x",
        "muster://worker/london",
        "muster://admin/p?site=paris",
        "muster://admin/l?site=london",
        "muster://admin/t?tag=team:a",
    ];

    #[test]
    fn the_table_is_as_it_is_written() {
        let [paris, london]: [SiteName; 2] = ["paris", "london"].map(|name| name.parse().expect("a name"));
        let table = [
            (Demand::Look, "++++-+--"),
            (Demand::LookAtVms, "++++++--"),
            (Demand::Act, "-+++-+--"),
            (Demand::Override, "--++-+--"),
            (Demand::Speak { site: london }, "----+---"),
            (Demand::Speak { site: paris.clone() }, "--------"),
        ];
        for (demand, row) in table {
            for (party, sign) in PARTIES.iter().zip(row.chars()) {
                let party: Party = party.parse().expect("an identity");
                let permitted = permits(&paris, &party, &demand);
                assert_eq!(permitted.is_ok(), sign == '+', "{party} asks {demand:?} of paris: {permitted:?}");
            }
        }
    }
}
