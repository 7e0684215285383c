//! What is sent is what is read, for every message that has a typed form; and no message lacks one unnoticed.

use crate::generate::Generator;
use muster_core::claim::{Assertion, Fenced, Holder};
use muster_core::definition::Definition;
use muster_core::ledger::{AtDestination, AtSource, Closed, Completed, RollEntry, Started, Transfer};
use muster_core::preflight::survey::{
    DiskNeed, HostSurvey, Licence, NetworkOffer, NicNeed, PeerSurvey, Resident, StorageOffer, Version, VmNeeds,
};
use muster_core::reading::{HostListing, Inventory, Job, Mark, Sighting, SiteReading, VmListing};
use muster_core::token::Token;
use muster_proto::convert::{
    Alarm, AssertFenced, ClaimEvacuation, CommitArrival, EvacuationClaims, Execute, GreatestEpoch, InvalidMessage,
    InventoryEntry, LedgerLine, Observe, PathProof, ProvePath, ReleaseClaim, SiteCommand, SiteFailure, SiteNews,
    SiteStatus, SurveyEntry, SurveyOrder, VmAnswer, VmToken, WriteRoll, add_to_inventory, inventory_items,
    roll_batches,
};
use muster_proto::limits;
use muster_proto::worker::v1 as pb;
use prost::Message;
use prost_types::FileDescriptorSet;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Random values tried of each message.
const VALUES: u64 = 300;

/// Messages without a typed form: they are empty, or hold one plain value or a list of messages that have one.
const PLAIN: [&str; 9] = [
    "GetSiteRequest",
    "ListInventoryRequest",
    "ListEvacuationsRequest",
    "ListRollRequest",
    "GetGreatestEpochResponse",
    "WriteRollResponse",
    "WatchRequest",
    "ListEventsRequest",
    "ListEventsResponse",
];

/// Messages that are part of others alone and are tried with them.
const WITHIN_OTHERS: [&str; 8] = [
    "HighWater",
    "Sealed",
    "KeptUntil",
    "OpenAttempt",
    "BeginTransfer",
    "AdjustTransfer",
    "SiteOffer",
    "ProcessorVerdict",
];

fn round_trip<M, C>(tried: &mut BTreeSet<String>, name: &str, make: impl Fn(&mut Generator) -> C)
where
    M: Message + Default + From<C>,
    C: TryFrom<M, Error = InvalidMessage> + Clone + PartialEq + Debug,
{
    for seed in 0..VALUES {
        let value = make(&mut Generator::seeded(seed));
        let bytes = M::from(value.clone()).encode_to_vec();
        let read = C::try_from(M::decode(bytes.as_slice()).unwrap());
        assert_eq!(read, Ok(value), "{name}, seed {seed}");
    }
    tried.insert(name.to_owned());
}

#[test]
fn every_message_is_read_as_it_was_sent() {
    let mut tried = BTreeSet::new();
    let t = &mut tried;
    round_trip::<pb::Token, Token>(t, "Token", Generator::token);
    round_trip::<pb::Definition, Definition>(t, "Definition", Generator::definition);
    round_trip::<pb::RollEntry, RollEntry>(t, "RollEntry", Generator::roll_entry);
    round_trip::<pb::Holder, Holder>(t, "Holder", Generator::holder);
    round_trip::<pb::Fenced, Fenced>(t, "Fenced", Generator::fenced);
    round_trip::<pb::Assertion, Assertion>(t, "Assertion", Generator::assertion);
    round_trip::<pb::Claims, EvacuationClaims>(t, "Claims", Generator::claims);
    round_trip::<pb::Started, Started>(t, "Started", Generator::started);
    round_trip::<pb::Completed, Completed>(t, "Completed", Generator::completed);
    round_trip::<pb::Closed, Closed>(t, "Closed", Generator::closed);
    round_trip::<pb::AtDestination, AtDestination>(t, "AtDestination", Generator::at_destination);
    round_trip::<pb::Transfer, Transfer>(t, "Transfer", Generator::transfer);
    round_trip::<pb::AtSource, AtSource>(t, "AtSource", Generator::at_source);
    round_trip::<pb::Mark, Mark>(t, "Mark", Generator::mark);
    round_trip::<pb::Job, Job>(t, "Job", Generator::job);
    round_trip::<pb::Sighting, Sighting>(t, "Sighting", Generator::sighting);
    round_trip::<pb::SiteReading, SiteReading>(t, "SiteReading", Generator::reading);
    round_trip::<pb::Failure, SiteFailure>(t, "Failure", Generator::failure);
    round_trip::<pb::CommandOutcome, VmAnswer>(t, "CommandOutcome", Generator::answer);
    round_trip::<pb::Observation, VmAnswer>(t, "Observation", Generator::answer);
    round_trip::<pb::Host, HostListing>(t, "Host", Generator::host_listing);
    round_trip::<pb::InventoryVm, VmListing>(t, "InventoryVm", Generator::vm_listing);
    round_trip::<pb::InventoryItem, InventoryEntry>(t, "InventoryItem", Generator::inventory_entry);
    round_trip::<pb::Command, SiteCommand>(t, "Command", Generator::command);
    round_trip::<pb::ExecuteRequest, Execute>(t, "ExecuteRequest", Generator::execute);
    round_trip::<pb::WriteRollRequest, WriteRoll>(t, "WriteRollRequest", Generator::write_roll);
    round_trip::<pb::VmToken, VmToken>(t, "VmToken", Generator::observed);
    round_trip::<pb::ObserveRequest, Observe>(t, "ObserveRequest", Generator::observe);
    round_trip::<pb::ClaimEvacuationRequest, ClaimEvacuation>(t, "ClaimEvacuationRequest", Generator::claim);
    round_trip::<pb::ReleaseClaimRequest, ReleaseClaim>(t, "ReleaseClaimRequest", Generator::release_claim);
    round_trip::<pb::AssertFencedRequest, AssertFenced>(t, "AssertFencedRequest", Generator::assert_fenced);
    round_trip::<pb::CommitArrivalRequest, CommitArrival>(t, "CommitArrivalRequest", Generator::commit);
    round_trip::<pb::GetGreatestEpochRequest, GreatestEpoch>(t, "GetGreatestEpochRequest", Generator::greatest_epoch);
    round_trip::<pb::ProvePathRequest, ProvePath>(t, "ProvePathRequest", Generator::prove_path);
    round_trip::<pb::ProvePathResponse, PathProof>(t, "ProvePathResponse", Generator::path_proof);
    round_trip::<pb::GetSiteResponse, SiteStatus>(t, "GetSiteResponse", Generator::status);
    round_trip::<pb::Alarm, Alarm>(t, "Alarm", Generator::alarm);
    round_trip::<pb::SiteEvent, SiteNews>(t, "SiteEvent", Generator::news);
    round_trip::<pb::LedgerLine, LedgerLine>(t, "LedgerLine", Generator::line);
    round_trip::<pb::SurveyRequest, SurveyOrder>(t, "SurveyRequest", Generator::survey_order);
    round_trip::<pb::SurveyItem, SurveyEntry>(t, "SurveyItem", Generator::survey_entry);
    round_trip::<pb::Licence, Licence>(t, "Licence", Generator::licence);
    round_trip::<pb::PeerSurvey, PeerSurvey>(t, "PeerSurvey", Generator::peer);
    round_trip::<pb::HostSurvey, HostSurvey>(t, "HostSurvey", Generator::host_survey);
    round_trip::<pb::Version, Version>(t, "Version", Generator::version);
    round_trip::<pb::NetworkOffer, NetworkOffer>(t, "NetworkOffer", Generator::network_offer);
    round_trip::<pb::StorageOffer, StorageOffer>(t, "StorageOffer", Generator::storage_offer);
    round_trip::<pb::Resident, Resident>(t, "Resident", Generator::resident);
    round_trip::<pb::VmNeeds, VmNeeds>(t, "VmNeeds", Generator::needs);
    round_trip::<pb::NicNeed, NicNeed>(t, "NicNeed", Generator::nic_need);
    round_trip::<pb::DiskNeed, DiskNeed>(t, "DiskNeed", Generator::disk_need);
    tried.insert("ListEvacuationsResponse".to_owned());
    let known = PLAIN.iter().chain(&WITHIN_OTHERS).map(ToString::to_string);
    tried.extend(known);
    assert_eq!(declared_messages("muster.worker.v1"), tried, "every declared message is tried or known to be plain");
}

#[test]
fn a_list_of_evacuations_is_read_as_it_was_sent() {
    let mut generator = Generator::seeded(5);
    let claims = vec![generator.claims(), generator.claims()];
    let message = pb::ListEvacuationsResponse { evacuations: claims.clone().into_iter().map(Into::into).collect() };
    assert_eq!(muster_proto::convert::evacuations(message), Ok(claims));
}

#[test]
fn an_inventory_is_read_as_it_was_sent() {
    let mut generator = Generator::seeded(6);
    let hosts = (0..5).map(|_| generator.host_listing()).collect();
    let vms = (0..20).map(|_| generator.vm_listing()).collect();
    let inventory = Inventory { hosts, vms };
    let mut read = Inventory::default();
    for item in inventory_items(inventory.clone()) {
        add_to_inventory(&mut read, item).unwrap();
    }
    assert_eq!(read, inventory);
}

#[test]
fn a_roll_is_split_into_batches_that_each_fit_one_request() {
    let mut generator = Generator::seeded(7);
    let small: Vec<RollEntry> = (0..limits::ITEMS_MAX + 1).map(|_| generator.roll_entry()).collect();
    let sizes: Vec<usize> = roll_batches(small).iter().map(Vec::len).collect();
    assert_eq!(sizes, [limits::ITEMS_MAX, 1]);

    let mut large = generator.roll_entry();
    large.definition.document = "x".repeat(muster_core::definition::DOCUMENT_MAX_BYTES);
    let batches = roll_batches(vec![large; 100]);
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 100);
    assert!(batches.len() > 1);
    for entries in batches {
        let request = pb::WriteRollRequest { entries, ..Default::default() };
        assert!(request.encoded_len() <= limits::BATCH_MAX_BYTES + 1024);
    }
}

#[test]
fn the_descriptor_set_declares_both_services_with_their_comments() {
    let set = FileDescriptorSet::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap();
    let services: Vec<_> = set.file.iter().flat_map(|file| &file.service).map(|service| service.name()).collect();
    assert!(services.contains(&"Site") && services.contains(&"Evacuations"), "{services:?}");
    assert!(set.file.iter().all(|file| file.source_code_info.is_some()));
    assert_eq!(pb::site_server::SERVICE_NAME, "muster.worker.v1.Site");
}

fn declared_messages(package: &str) -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap();
    let files = set.file.into_iter().filter(|file| file.package() == package);
    files.flat_map(|file| file.message_type).map(|message| message.name().to_owned()).collect()
}
