//! What is wrong with an end, and as which of the zeros it counts.

use muster_tests::published::Zeros;
use std::fmt;

/// What is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) counts_as: Zero,
    what: String,
}

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// A verdict that the truth contradicts.
    WrongVerdict,
    /// Two ran it, or wrote its disk.
    RanTwice,
    /// It, its memory, its disk or its definition is gone.
    Lost,
    /// It came to no end, or to another than it had to.
    NeverSettled,
}

impl Wrong {
    pub(crate) fn new(counts_as: Zero, what: String) -> Self {
        Wrong { counts_as, what }
    }

    /// The same, said of something.
    pub(crate) fn of(self, what: &str) -> Self {
        Wrong { what: format!("{what}: {}", self.what), ..self }
    }

    pub(crate) fn count(&self, zeros: &mut Zeros) {
        let counted = match self.counts_as {
            Zero::WrongVerdict => &mut zeros.wrong_verdicts,
            Zero::RanTwice => &mut zeros.ran_twice,
            Zero::Lost => &mut zeros.lost,
            Zero::NeverSettled => &mut zeros.never_settled,
        };
        *counted += 1;
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

/// Whatever isn't sorted: the move didn't come to its end.
impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Wrong::new(Zero::NeverSettled, what)
    }
}
