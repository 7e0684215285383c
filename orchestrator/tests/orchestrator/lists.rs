//! Lists: their filters and their pages.

use crate::stage::{Stage, planned, runbook, site, vm};
use muster_core::evacuation::{JournalKind, JournalRecord, PlannedMove};
use muster_core::ids::EvacuationId;
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use muster_store::memory::MemoryJournal;
use muster_store::{Journal, RECORDS_MAX};
use std::collections::BTreeSet;
use tonic::Code;

/// All pages of this filter's moves: the VMs of each.
async fn pages(stage: &Stage, filter: &str, page_size: u32) -> Vec<Vec<String>> {
    let (mut client, mut pages, mut page_token) = (stage.client().await, Vec::new(), String::new());
    loop {
        let request = pb::ListMovesRequest {
            page_size,
            page_token,
            filter: filter.to_owned(),
            ..pb::ListMovesRequest::default()
        };
        let page = client.list_moves(request).await.unwrap().into_inner();
        pages.push(page.moves.into_iter().map(|one| one.vm).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_shows_all_that_it_lets_through_and_nothing_else_page_by_page() {
    let mut stage = Stage::set(0).await;
    for number in 0..20 {
        let tags: &[&str] = if number % 3 == 0 { &["web", "tier:1"] } else { &["db"] };
        stage.create(number, tags).await;
    }
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    let expected = |wanted: &dyn Fn(usize) -> bool| -> Vec<String> {
        (0..20).filter(|number| wanted(*number)).map(|number| vm(number).to_string()).collect()
    };
    let cases: [(&str, Vec<String>); 6] = [
        ("tag = web", expected(&|number| number % 3 == 0)),
        ("tag:tier:1 AND source_host = source-1", expected(&|number| number % 6 == 0)),
        ("state = MIGRATED AND verdict = FullyMigrated", expected(&|_| true)),
        ("state != MIGRATED", Vec::new()),
        ("vm-1", expected(&|number| number == 1 || number >= 10)),
        ("name = vm-7", expected(&|number| number == 7)),
    ];
    for (filter, expected) in cases {
        for page_size in [1, 3, 1_000] {
            let pages = pages(&stage, filter, page_size).await;
            assert!(pages.iter().all(|page| page.len() <= page_size as usize), "{filter}: {pages:?}");
            assert_eq!(pages.concat(), expected, "{filter}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_for_its_filter_alone_and_a_wrong_filter_is_told_where_it_is_wrong() {
    let mut stage = Stage::set(4).await;
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    let mut client = stage.client().await;
    let request =
        pb::ListMovesRequest { page_size: 1, filter: "state = MIGRATED".to_owned(), ..pb::ListMovesRequest::default() };
    let page_token = client.list_moves(request.clone()).await.unwrap().into_inner().next_page_token;
    let next = pb::ListMovesRequest { page_token, ..request.clone() };
    assert_eq!(client.list_moves(next.clone()).await.unwrap().into_inner().moves.len(), 1);
    for filter in ["", "state = MOVING"] {
        let refused = client.list_moves(pb::ListMovesRequest { filter: filter.to_owned(), ..next.clone() }).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{filter}");
        assert_eq!(Fault::from(&refused).violations[0].field, "page_token");
    }
    let wrong = pb::ListMovesRequest { filter: "state = ON AND wave = x".to_owned(), ..request };
    let refused = client.list_moves(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let told: Vec<String> = Fault::from(&refused).violations.into_iter().map(|one| one.description).collect();
    assert!(told[0].starts_with("column 9: ") && told[1].starts_with("column 23: "), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn evacuations_are_filtered_with_their_counts() {
    let mut stage = Stage::set(3).await;
    let first = stage.create_evacuation(&runbook("").replace("all = true", "names = [\"vm-0\"]")).await;
    stage.until_finished().await;
    let again = runbook("").replace("leave", "again").replace("all = true", "names = [\"vm-1\"]");
    let second = stage.create_evacuation(&again).await;
    stage.until_finished().await;
    let mut client = stage.client().await;
    for (filter, expected) in [
        ("state = FINISHED", vec![&second.evacuation, &first.evacuation]),
        ("name = leave", vec![&first.evacuation]),
        ("AGAIN", vec![&second.evacuation]),
        ("state = RUNNING", vec![]),
        ("site = source AND cancelled = false", vec![&second.evacuation, &first.evacuation]),
    ] {
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListEvacuationsRequest { page_size: 1, page_token, filter: filter.to_owned() };
            let page = client.list_evacuations(request).await.unwrap().into_inner();
            listed.extend(page.evacuations);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed.iter().map(|one| &one.evacuation).collect::<Vec<_>>(), expected, "{filter}");
        assert!(listed.iter().all(|one| one.counts.unwrap().migrated == 1), "{listed:#?}");
    }
}

/// A journal in which an evacuation of so many moves stands that is over.
async fn with_moves(stage: &mut Stage, moves: usize) {
    let disk = stage.kill_orchestrator();
    let journal = MemoryJournal::open(&disk).unwrap();
    let record = |vm, kind| JournalRecord {
        at: Timestamp(1),
        by: "the test".to_owned(),
        request: None,
        origin: None,
        call: None,
        evacuation: EvacuationId(uuid::Uuid::from_u128(77)),
        vm,
        kind,
    };
    let ordered = JournalKind::Ordered {
        name: "leave".to_owned(),
        source_site: site(Side::Source),
        destination_site: site(Side::Destination),
        runbook: runbook(""),
        scope_tags: BTreeSet::new(),
    };
    let mut records = vec![record(None, ordered)];
    for number in 0..moves {
        let tags = if number + 1 == moves { vec!["last".to_owned()] } else { Vec::new() };
        let planned = PlannedMove { tags, ..planned(number) };
        records.push(record(Some(vm(number)), JournalKind::MovePlanned { planned }));
    }
    records.push(record(None, JournalKind::Finished));
    for batch in records.chunks(RECORDS_MAX) {
        journal.append(batch.to_vec()).await.unwrap();
    }
    drop(journal);
    stage.start_orchestrator(disk).await;
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_lets_one_of_many_through_is_answered_in_short_pages_that_go_on_from_each_other() {
    let mut stage = Stage::set(0).await;
    with_moves(&mut stage, 25_000).await;
    let found = pages(&stage, "tag = last", 10).await;
    // No call looks at more than 10,000 moves, and none at those that one before has looked at.
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(found.concat(), [vm(24_999).to_string()]);
    let all = pages(&stage, "", 1_000).await.concat();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (25_000, 25_000));
}
