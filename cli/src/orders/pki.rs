//! What certificates are made, for whom.

use super::usage;
use crate::args::pki::{BearerWord, IssueArgs, PkiArgs, PkiCommand};
use crate::error::CliError;
use muster_core::ids::SiteName;
use muster_core::party::{Party, Role, SCOPE_MAX, Scope, scope_tag};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Most addresses of one certificate.
const ADDRESSES_MAX: usize = 64;

#[derive(Debug)]
pub(crate) enum PkiOrder {
    Init { directory: PathBuf, days: u32 },
    Issue(IssueOrder),
    Show { directory: PathBuf },
}

/// A certificate that is to be issued.
#[derive(Debug)]
pub(crate) struct IssueOrder {
    pub(crate) party: Party,
    pub(crate) authority: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) addresses: Vec<String>,
    pub(crate) days: u32,
    pub(crate) renew: bool,
}

impl TryFrom<PkiArgs> for PkiOrder {
    type Error = CliError;
    fn try_from(args: PkiArgs) -> Result<Self, CliError> {
        Ok(match args.command {
            PkiCommand::Init(args) => PkiOrder::Init { directory: args.directory, days: args.days },
            PkiCommand::Issue(args) => PkiOrder::Issue(args.try_into()?),
            PkiCommand::Show(args) => PkiOrder::Show { directory: args.directory },
        })
    }
}

impl TryFrom<IssueArgs> for IssueOrder {
    type Error = CliError;
    fn try_from(args: IssueArgs) -> Result<Self, CliError> {
        let IssueArgs { bearer, name, authority, to, addresses, sites, tags, days, renew } = args;
        let scope = scope(&sites, &tags)?;
        let party = match bearer {
            BearerWord::Worker => Party::Worker { site: name.parse()? },
            BearerWord::Orchestrator => Party::Orchestrator { name: name.parse()? },
            BearerWord::Viewer => Party::Person { name: name.parse()?, role: Role::Viewer, scope },
            BearerWord::Operator => Party::Person { name: name.parse()?, role: Role::Operator, scope },
            BearerWord::Admin => Party::Person { name: name.parse()?, role: Role::Admin, scope },
        };
        match &party {
            Party::Worker { .. } | Party::Orchestrator { .. } if !sites.is_empty() || !tags.is_empty() => {
                Err(CliError::Usage {
                    what: "--site and --tag limit a person's role, and this certificate is no person's".to_owned(),
                    mend: "leave them out; a worker speaks for the site that it is named after".to_owned(),
                })
            }
            Party::Person { .. } if !addresses.is_empty() => Err(CliError::Usage {
                what: "--address is for what listens, and nobody dials a person".to_owned(),
                mend: "leave it out".to_owned(),
            }),
            Party::Worker { .. } | Party::Orchestrator { .. } | Party::Person { .. } => {
                if addresses.len() > ADDRESSES_MAX {
                    return Err(CliError::Usage {
                        what: format!("{} addresses are given", addresses.len()),
                        mend: format!("give {ADDRESSES_MAX} at most"),
                    });
                }
                Ok(IssueOrder { party, authority, to, addresses, days, renew })
            }
        }
    }
}

fn scope(sites: &[String], tags: &[String]) -> Result<Scope, CliError> {
    if sites.len() > SCOPE_MAX || tags.len() > SCOPE_MAX {
        return Err(CliError::Usage {
            what: "the scope names too much".to_owned(),
            mend: format!("give at most {SCOPE_MAX} sites and {SCOPE_MAX} tags"),
        });
    }
    let sites: BTreeSet<SiteName> = sites.iter().map(|site| site.parse()).collect::<Result<_, _>>()?;
    let tags: Result<BTreeSet<String>, _> = tags.iter().map(|tag| scope_tag(tag)).collect();
    Ok(Scope { sites, tags: tags.map_err(|error| usage("--tag", &error))? })
}
