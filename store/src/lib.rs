//! What lasts: the ledger and the journal, their engines and their conformance suite.
