//! Who may ask what of an orchestrator. A table, and nothing else: denied is whatever it doesn't allow.
//!
//! ```text
//!             viewer  operator  admin  orchestrator  worker
//! Look          +        +        +         -          -
//! Act           -        +        +         -          -
//! Override      -        -        +         -          -
//! ```
//! A person's role counts for evacuations between sites of its scope, and for VMs that carry a tag of it.

use muster_core::ids::SiteName;
use muster_core::party::{Party, Role, Scope};

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// To see what stands.
    Look,
    /// To order an evacuation, change its course, or recover.
    Act,
    /// To override what guards against a VM that runs twice.
    Override,
}

/// How far the caller reaches, if it may ask this at all; otherwise what it would need.
///
/// # Errors
/// What would be needed, in words.
pub(super) fn permits(party: &Party, demand: Demand) -> Result<&Scope, String> {
    let Party::Person { role, scope, .. } = party else {
        return Err("only a person's certificate, or that of a tool that acts for one, counts here".to_owned());
    };
    let least = match demand {
        Demand::Look => Role::Viewer,
        Demand::Act => Role::Operator,
        Demand::Override => Role::Admin,
    };
    if *role < least { Err(format!("it takes the role of {least}")) } else { Ok(scope) }
}

/// Whether an evacuation between these sites is within a scope; otherwise what it would need.
///
/// # Errors
/// What would be needed, in words.
pub(super) fn reaches(scope: &Scope, source: &SiteName, destination: &SiteName) -> Result<(), String> {
    match [source, destination].into_iter().find(|site| !scope.has_site(site)) {
        None => Ok(()),
        Some(site) => Err(format!("its certificate doesn't reach site {site}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_it_is_written() {
        let parties = [
            ("muster://viewer/v", "+--"),
            ("muster://operator/o", "++-"),
            ("muster://admin/a", "+++"),
            ("muster://orchestrator/x", "---"),
            ("muster://worker/paris", "---"),
        ];
        for (identity, row) in parties {
            let party: Party = identity.parse().expect("an identity");
            for (demand, sign) in [Demand::Look, Demand::Act, Demand::Override].into_iter().zip(row.chars()) {
                assert_eq!(permits(&party, demand).is_ok(), sign == '+', "{party}: {demand:?}");
            }
        }
    }

    #[test]
    fn both_sites_have_to_be_in_reach() {
        let [paris, london, rome]: [SiteName; 3] =
            ["paris", "london", "rome"].map(|name| name.parse().expect("a name"));
        let scope = Scope { sites: [paris.clone(), london.clone()].into(), tags: [].into() };
        assert!(reaches(&scope, &paris, &london).is_ok() && reaches(&scope, &london, &paris).is_ok());
        assert!(reaches(&scope, &paris, &rome).is_err() && reaches(&scope, &rome, &paris).is_err());
        assert!(reaches(&Scope::default(), &rome, &paris).is_ok());
    }
}
