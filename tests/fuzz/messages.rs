//! Messages of the sites' wire: bytes decoded as each, then converted. What is taken is sent and taken the same again; what is
//! refused names its field and says how to mend it.

use crate::choices::{Choices, Declared, numbers, spoilt};
use crate::run::{Counts, Target, regressions, run};
use crate::wire::generate::Generator;
use muster_core::claim::{Assertion, Fenced, Holder};
use muster_core::definition::Definition;
use muster_core::ledger::{AtDestination, AtSource, Closed, Completed, RollEntry, Started, Transfer};
use muster_core::preflight::survey::{
    DiskNeed, HostSurvey, Licence, NetworkOffer, NicNeed, PeerSurvey, Resident, StorageOffer, Version, VmNeeds,
};
use muster_core::reading::{HostListing, Job, Mark, Sighting, SiteReading, VmListing};
use muster_core::token::Token;
use muster_proto::convert::{
    Alarm, AssertFenced, ClaimEvacuation, CommitArrival, EvacuationClaims, Execute, GreatestEpoch, InvalidMessage,
    InventoryEntry, LedgerLine, Observe, PathProof, ProvePath, ReleaseClaim, SiteCommand, SiteFailure, SiteNews,
    SiteStatus, SurveyEntry, SurveyOrder, VmAnswer, VmToken, WriteRoll,
};
use muster_proto::worker::v1 as pb;
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::prop_oneof;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Most numbers that one case is drawn from.
const NUMBERS_MAX: usize = 250;

/// A message, and what becomes of bytes that are taken for one.
type Reader = (&'static str, fn(&[u8], &Counts) -> Result<(), TestCaseError>);

/// Every message with a form of its own in the core or in the conversions.
const READERS: [Reader; 51] = [
    ("Token", read::<pb::Token, Token>),
    ("Definition", read::<pb::Definition, Definition>),
    ("RollEntry", read::<pb::RollEntry, RollEntry>),
    ("Holder", read::<pb::Holder, Holder>),
    ("Fenced", read::<pb::Fenced, Fenced>),
    ("Assertion", read::<pb::Assertion, Assertion>),
    ("Claims", read::<pb::Claims, EvacuationClaims>),
    ("Started", read::<pb::Started, Started>),
    ("Completed", read::<pb::Completed, Completed>),
    ("Closed", read::<pb::Closed, Closed>),
    ("AtDestination", read::<pb::AtDestination, AtDestination>),
    ("Transfer", read::<pb::Transfer, Transfer>),
    ("AtSource", read::<pb::AtSource, AtSource>),
    ("Mark", read::<pb::Mark, Mark>),
    ("Job", read::<pb::Job, Job>),
    ("Sighting", read::<pb::Sighting, Sighting>),
    ("SiteReading", read::<pb::SiteReading, SiteReading>),
    ("Failure", read::<pb::Failure, SiteFailure>),
    ("CommandOutcome", read::<pb::CommandOutcome, VmAnswer>),
    ("Observation", read::<pb::Observation, VmAnswer>),
    ("Host", read::<pb::Host, HostListing>),
    ("InventoryVm", read::<pb::InventoryVm, VmListing>),
    ("InventoryItem", read::<pb::InventoryItem, InventoryEntry>),
    ("Command", read::<pb::Command, SiteCommand>),
    ("ExecuteRequest", read::<pb::ExecuteRequest, Execute>),
    ("WriteRollRequest", read::<pb::WriteRollRequest, WriteRoll>),
    ("VmToken", read::<pb::VmToken, VmToken>),
    ("ObserveRequest", read::<pb::ObserveRequest, Observe>),
    ("ClaimEvacuationRequest", read::<pb::ClaimEvacuationRequest, ClaimEvacuation>),
    ("ReleaseClaimRequest", read::<pb::ReleaseClaimRequest, ReleaseClaim>),
    ("AssertFencedRequest", read::<pb::AssertFencedRequest, AssertFenced>),
    ("CommitArrivalRequest", read::<pb::CommitArrivalRequest, CommitArrival>),
    ("GetGreatestEpochRequest", read::<pb::GetGreatestEpochRequest, GreatestEpoch>),
    ("ProvePathRequest", read::<pb::ProvePathRequest, ProvePath>),
    ("ProvePathResponse", read::<pb::ProvePathResponse, PathProof>),
    ("GetSiteResponse", read::<pb::GetSiteResponse, SiteStatus>),
    ("Alarm", read::<pb::Alarm, Alarm>),
    ("SiteEvent", read::<pb::SiteEvent, SiteNews>),
    ("LedgerLine", read::<pb::LedgerLine, LedgerLine>),
    ("SurveyRequest", read::<pb::SurveyRequest, SurveyOrder>),
    ("SurveyItem", read::<pb::SurveyItem, SurveyEntry>),
    ("Licence", read::<pb::Licence, Licence>),
    ("PeerSurvey", read::<pb::PeerSurvey, PeerSurvey>),
    ("HostSurvey", read::<pb::HostSurvey, HostSurvey>),
    ("Version", read::<pb::Version, Version>),
    ("NetworkOffer", read::<pb::NetworkOffer, NetworkOffer>),
    ("StorageOffer", read::<pb::StorageOffer, StorageOffer>),
    ("Resident", read::<pb::Resident, Resident>),
    ("VmNeeds", read::<pb::VmNeeds, VmNeeds>),
    ("NicNeed", read::<pb::NicNeed, NicNeed>),
    ("DiskNeed", read::<pb::DiskNeed, DiskNeed>),
];

#[test]
fn any_bytes_are_taken_as_a_message_or_refused_with_its_field() {
    let declared = Declared::read(&FileDescriptorSet::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap());
    let target = Target { name: "messages", regressions: regressions!("messages"), few: 4_000, of_ordered: 1 };
    let input = prop_oneof![
        6 => (0..READERS.len(), numbers(NUMBERS_MAX)).prop_map(|(which, drawn)| Input::Drawn { which, drawn, spoilt: Vec::new() }),
        2 => (0..READERS.len(), numbers(NUMBERS_MAX), numbers(20))
            .prop_map(|(which, drawn, spoilt)| Input::Drawn { which, drawn, spoilt }),
        3 => (any::<u64>(), numbers(20)).prop_map(|(seed, spoilt)| Input::Right { seed, spoilt }),
        1 => (0..READERS.len(), proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(which, bytes)| Input::Any { which, bytes }),
    ];
    run(&target, &input, |input, counts| input.read(&declared, counts));
}

/// Every request of the service is among them, but for those that hold nothing to convert.
#[test]
fn every_request_with_something_to_convert_is_read() {
    let set = FileDescriptorSet::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap();
    let site = set.file.iter().flat_map(|file| &file.service).find(|service| service.name() == "Site").unwrap();
    let asked: BTreeSet<&str> =
        site.method.iter().filter_map(|method| method.input_type().rsplit('.').next()).collect();
    let read: BTreeSet<&str> = READERS.iter().map(|(name, _)| *name).collect();
    // One number, one id or nothing: the service reads these itself, and `services` sends them.
    let plain = ["GetSiteRequest", "ListEvacuationsRequest", "ListEventsRequest", "ListInventoryRequest"];
    let plain = BTreeSet::from_iter(plain.into_iter().chain(["ListRollRequest", "WatchRequest"]));
    assert_eq!(asked.difference(&read).copied().collect::<BTreeSet<_>>(), plain);
}

#[derive(Debug, Clone)]
enum Input {
    /// Fields of the right types with values of any kind, and then perhaps spoilt.
    Drawn { which: usize, drawn: Vec<u64>, spoilt: Vec<u64> },
    /// What muster itself would send, spoilt.
    Right { seed: u64, spoilt: Vec<u64> },
    /// Any bytes.
    Any { which: usize, bytes: Vec<u8> },
}

impl Input {
    fn read(self, declared: &Declared, counts: &Counts) -> Result<(), TestCaseError> {
        match self {
            Input::Drawn { which, drawn, spoilt: changes } => {
                let (name, read) = READERS[which];
                let name = format!(".muster.worker.v1.{name}");
                let bytes = declared.message(&name, &mut Choices::of(&drawn, &[]), 0);
                let choices = &mut Choices::of(&changes, &[]);
                read(&if choices.is_over() { bytes } else { spoilt(bytes, choices) }, counts)
            }
            Input::Right { seed, spoilt: changes } => {
                let generator = &mut Generator::seeded(seed);
                let choices = &mut Choices::of(&changes, &[]);
                right::<pb::ExecuteRequest, Execute>(generator.execute(), choices, counts)?;
                right::<pb::WriteRollRequest, WriteRoll>(generator.write_roll(), choices, counts)?;
                right::<pb::SiteReading, SiteReading>(generator.reading(), choices, counts)?;
                right::<pb::AtDestination, AtDestination>(generator.at_destination(), choices, counts)?;
                right::<pb::AtSource, AtSource>(generator.at_source(), choices, counts)?;
                right::<pb::SiteEvent, SiteNews>(generator.news(), choices, counts)
            }
            Input::Any { which, bytes } => READERS[which].1(&bytes, counts),
        }
    }
}

/// What muster itself would send, as it is or spoilt.
fn right<M, C>(value: C, choices: &mut Choices<'_>, counts: &Counts) -> Result<(), TestCaseError>
where
    M: Message + Default + From<C>,
    C: TryFrom<M, Error = InvalidMessage> + Clone + PartialEq + Debug,
{
    let bytes = M::from(value.clone()).encode_to_vec();
    if choices.below(3) == 0 {
        prop_assert_eq!(M::decode(bytes.as_slice()).ok().and_then(|message| C::try_from(message).ok()), Some(value));
        return Ok(());
    }
    read::<M, C>(&spoilt(bytes, choices), counts)
}

fn read<M, C>(bytes: &[u8], counts: &Counts) -> Result<(), TestCaseError>
where
    M: Message + Default + From<C>,
    C: TryFrom<M, Error = InvalidMessage> + Clone + PartialEq + Debug,
{
    let Ok(message) = M::decode(bytes) else { return Ok(()) };
    let taken = C::try_from(message);
    counts.count(taken.is_ok());
    match taken {
        Ok(value) => {
            let again = M::decode(M::from(value.clone()).encode_to_vec().as_slice())
                .map_err(|error| TestCaseError::fail(format!("{value:?} can't be sent on: {error}")))?;
            prop_assert_eq!(C::try_from(again), Ok(value), "it is taken otherwise once sent on");
        }
        Err(error) => {
            prop_assert!(!error.field.is_empty() && !error.problem.to_string().is_empty(), "{error:?}");
        }
    }
    Ok(())
}
