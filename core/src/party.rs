//! Who speaks: what a certificate says of its bearer, and how that is written. Decides nothing about what anybody may do; each
//! service has a table of its own for that.
//!
//! A certificate carries its bearer's identity as one URI among its subject's alternative names:
//!
//! ```text
//! muster://worker/SITE            the worker of a site; it speaks for that site alone
//! muster://orchestrator/NAME      an orchestrator
//! muster://ROLE/NAME[?SCOPE]      a person or a person's tool; ROLE is viewer, operator or admin
//! SCOPE = site=SITE | tag=TAG, joined by '&'; no site stands for every site, no tag for every VM
//! ```

use crate::ids::{IdError, PartyName, SiteName, clip};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Most sites and most tags of one scope: a certificate is sent with every connection.
pub const SCOPE_MAX: usize = 64;

/// Longest tag of a scope, in bytes.
pub const SCOPE_TAG_MAX_BYTES: usize = 255;

/// What every identity begins with.
const SCHEME: &str = "muster://";

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A site's worker.
    Worker {
        /// Its site.
        site: SiteName,
    },
    /// An orchestrator.
    Orchestrator {
        /// What it is called.
        name: PartyName,
    },
    /// A person, or a tool that acts for one.
    Person {
        /// What the person is called, in the audit trail as well.
        name: PartyName,
        /// What the person may do.
        role: Role,
        /// Where, and with what.
        scope: Scope,
    },
}

/// What a person may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Order evacuations, change their course, recover.
    Operator,
    /// Override what guards against a VM that runs twice, for a stated reason.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// The role in a word, as identities have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// Where, and with what, a person's role counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Scope {
    /// Evacuations between two of these sites alone; empty for all.
    pub sites: BTreeSet<SiteName>,
    /// VMs that carry one of these tags alone; empty for all.
    pub tags: BTreeSet<String>,
}

impl Scope {
    /// Whether it reaches a site.
    #[must_use]
    pub fn has_site(&self, site: &SiteName) -> bool {
        self.sites.is_empty() || self.sites.contains(site)
    }

    /// Whether it reaches a VM with these tags.
    #[must_use]
    pub fn has_tags<'a>(&self, tags: impl IntoIterator<Item = &'a String>) -> bool {
        self.tags.is_empty() || tags.into_iter().any(|tag| self.tags.contains(tag))
    }
}

/// An identity that can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// It isn't written as identities are.
    #[error(
        "{given:?} is no identity; it is written like muster://worker/SITE, or muster://operator/NAME?site=SITE&tag=TAG"
    )]
    NotIdentity {
        /// What was given.
        given: String,
    },
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A tag that can't stand in an identity.
    #[error(
        "tag {given:?} can't stand in an identity; use 1 to {SCOPE_TAG_MAX_BYTES} letters, digits, or characters of \"-_.:/@+\""
    )]
    NotScopeTag {
        /// What was given.
        given: String,
    },
    /// Its scope names too much.
    #[error("a scope has at most {SCOPE_MAX} sites and {SCOPE_MAX} tags")]
    TooMany,
    /// Workers and orchestrators have no scope.
    #[error("{given:?}: only a person's identity has a scope")]
    ScopeOfNoPerson {
        /// What was given.
        given: String,
    },
}

impl Party {
    /// What it is called: a person's or an orchestrator's name, or "worker of SITE".
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Party::Worker { site } => format!("worker of {site}"),
            Party::Orchestrator { name } | Party::Person { name, .. } => name.to_string(),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Worker { site } => write!(formatter, "{SCHEME}worker/{site}"),
            Party::Orchestrator { name } => write!(formatter, "{SCHEME}orchestrator/{name}"),
            Party::Person { name, role, scope } => {
                write!(formatter, "{SCHEME}{role}/{name}")?;
                let sites = scope.sites.iter().map(|site| ("site", site.as_str()));
                let tags = scope.tags.iter().map(|tag| ("tag", tag.as_str()));
                for (place, (key, value)) in sites.chain(tags).enumerate() {
                    let joint = if place == 0 { '?' } else { '&' };
                    write!(formatter, "{joint}{key}={value}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Party {
    type Err = PartyError;
    fn from_str(given: &str) -> Result<Self, PartyError> {
        let not_identity = || PartyError::NotIdentity { given: clip(given) };
        let rest = given.strip_prefix(SCHEME).ok_or_else(not_identity)?;
        let (identity, query) = match rest.split_once('?') {
            Some((identity, query)) => (identity, Some(query)),
            None => (rest, None),
        };
        let (kind, name) = identity.split_once('/').ok_or_else(not_identity)?;
        let unscoped = |party| match query {
            None => Ok(party),
            Some(_) => Err(PartyError::ScopeOfNoPerson { given: clip(given) }),
        };
        match kind {
            "worker" => unscoped(Party::Worker { site: name.parse()? }),
            "orchestrator" => unscoped(Party::Orchestrator { name: name.parse()? }),
            _ => {
                let role = Role::ALL.into_iter().find(|role| role.word() == kind).ok_or_else(not_identity)?;
                let scope = query.map(scope).transpose()?.unwrap_or_default();
                Ok(Party::Person { name: name.parse()?, role, scope })
            }
        }
    }
}

fn scope(query: &str) -> Result<Scope, PartyError> {
    let mut scope = Scope::default();
    for part in query.split('&') {
        match part.split_once('=') {
            Some(("site", site)) => {
                scope.sites.insert(site.parse()?);
            }
            Some(("tag", tag)) => {
                scope.tags.insert(scope_tag(tag)?);
            }
            Some(_) | None => return Err(PartyError::NotIdentity { given: clip(query) }),
        }
    }
    if scope.sites.len() > SCOPE_MAX || scope.tags.len() > SCOPE_MAX { Err(PartyError::TooMany) } else { Ok(scope) }
}

/// A tag that can stand in an identity as it is: nothing in one is encoded.
///
/// # Errors
/// `NotScopeTag`.
pub fn scope_tag(given: &str) -> Result<String, PartyError> {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c);
    if !given.is_empty() && given.len() <= SCOPE_TAG_MAX_BYTES && given.chars().all(may_stand) {
        Ok(given.to_owned())
    } else {
        Err(PartyError::NotScopeTag { given: clip(given) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_as_they_are_written() {
        let written = [
            "muster://worker/paris",
            "muster://orchestrator/o-1",
            "muster://viewer/eve",
            "muster://operator/bob?site=london&site=paris",
            "muster://admin/alice?site=paris&tag=team:a&tag=team:b",
        ];
        for identity in written {
            let party: Party = identity.parse().expect("an identity");
            assert_eq!(party.to_string(), identity);
        }
    }

    #[test]
    fn what_is_not_quite_an_identity_is_none() {
        let bad = [
            "",
            "worker/paris",
            "muster://worker",
            "muster://worker/",
            "muster://worker/paris/london",
            "muster://worker/paris?site=london",
            "muster://orchestrator/o?tag=a",
            "muster://owner/alice",
            "muster://Admin/alice",
            "muster://admin/alice?",
            "muster://admin/alice?sites=paris",
            "muster://admin/alice?site=",
            "muster://admin/alice?tag=",
            "muster://admin/alice?tag=a%20b",
            "muster://admin/alice?site=paris?site=london",
            "muster://admin/../alice",
            "MUSTER://admin/alice",
        ];
        for identity in bad {
            assert!(identity.parse::<Party>().is_err(), "{identity:?} was taken");
        }
        let many: Vec<String> = (0..=SCOPE_MAX).map(|number| format!("site=s{number}")).collect();
        assert_eq!(format!("muster://admin/a?{}", many.join("&")).parse::<Party>(), Err(PartyError::TooMany));
        assert!(format!("muster://admin/a?{}", many[1..].join("&")).parse::<Party>().is_ok());
    }

    #[test]
    fn a_scope_without_names_reaches_everything_and_one_with_names_only_those() {
        let tags = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
        let [paris, london] = ["paris", "london"].map(|site| site.parse::<SiteName>().expect("a name"));
        assert!(Scope::default().has_site(&paris) && Scope::default().has_tags(&tags(&[])));
        let scope = Scope { sites: [paris.clone()].into(), tags: tags(&["a", "b"]) };
        assert!(scope.has_site(&paris) && !scope.has_site(&london));
        assert!(scope.has_tags(&tags(&["x", "b"])) && !scope.has_tags(&tags(&["x"])) && !scope.has_tags(&tags(&[])));
    }

    #[test]
    fn each_role_may_do_what_the_ones_before_it_may() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
