//! `muster.worker.v1` over real hypervisors: what `muster conformance` demands of anybody's worker.
//!
//! Red if a promise of the protocol holds over simulated hypervisors alone.

use crate::house::House;
use crate::stand::Stand;
use muster_proto::channel::{Dial, TcpDial};
use muster_tests::lab::{Kind, Role};
use muster_worker::conformance::{CaseResult, Subject, check};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_real_hypervisors_conforms() {
    let Some(stand) = Stand::up("protocol", &[(Kind::Quiet, 1)]).await else { return };
    let house = House::build(&stand.lab).await;
    let dial: Arc<dyn Dial> = Arc::new(TcpDial);
    let subject = Subject {
        dial_as_worker: Arc::clone(&dial),
        dial,
        site: house.address(Role::Source),
        partner: Some(house.address(Role::Destination)),
        vm: None,
        restart: None,
        env: house.env("the suite"),
    };
    let report = check(subject).await.unwrap();
    let ended = |result| report.cases.iter().filter(move |case| case.result == result);
    let failed: Vec<_> = ended(CaseResult::Failed).map(|case| (case.case, case.why.as_deref())).collect();
    assert_eq!(failed, [], "{report:#?}");
    // Workers that are killed and started again over real hypervisors are for `reality`.
    let unchecked: Vec<_> = ended(CaseResult::NotChecked).map(|case| (case.case, case.why.as_deref())).collect();
    assert!(matches!(unchecked.as_slice(), [("restart", _)]), "{unchecked:?}");
}
