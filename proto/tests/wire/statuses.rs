//! Errors survive the way over the wire; what the transport made is unknown.

use muster_core::class::Class;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::Mutation;
use muster_core::ledger::command::Refusal;
use muster_core::token::{Epoch, Token};
use muster_proto::convert::{InvalidMessage, Problem, SiteFailure};
use muster_proto::limits;
use muster_proto::status::{
    DOMAIN, Fault, INVALID_MESSAGE, TRANSPORT, UNREADABLE_ANSWER, Violation, invalid, refusal_status, status,
};
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

const CLASSES: [Class; 4] = [Class::Retry, Class::Refused, Class::Unknown, Class::Bug];

/// As if it had come over the wire: header map and back.
fn sent(status: Status) -> Status {
    let http = status.into_http::<()>();
    Status::from_header_map(http.headers()).expect("a status that was sent has its headers")
}

#[test]
fn class_reason_and_message_come_back() {
    for class in CLASSES {
        let fault = Fault::from(&sent(status(class, "SOME_REASON", "what happened, with ä and \"quotes\"")));
        assert_eq!((fault.class, fault.reason.as_str()), (class, "SOME_REASON"));
        assert_eq!(fault.message, "what happened, with ä and \"quotes\"");
        assert!(fault.violations.is_empty());
        let delay = u64::try_from(limits::RETRY_DELAY.as_millis()).unwrap();
        assert_eq!(fault.retry_after_ms, (class == Class::Retry).then_some(delay));
    }
}

#[test]
fn codes_tell_other_tools_what_it_is() {
    let table = [
        (Class::Retry, "BUSY", Code::Aborted),
        (Class::Retry, "NOT_WORKING", Code::Unavailable),
        (Class::Refused, "BELOW_FLOOR", Code::Aborted),
        (Class::Refused, "CLAIMED_IN_BETWEEN", Code::Aborted),
        (Class::Refused, "NOT_ON_ROLL", Code::FailedPrecondition),
        (Class::Refused, INVALID_MESSAGE, Code::InvalidArgument),
        (Class::Unknown, "HOST_SILENT", Code::Unknown),
        (Class::Bug, "NONSENSE", Code::Internal),
    ];
    for (class, reason, code) in table {
        assert_eq!(status(class, reason, "").code(), code, "{class:?} {reason}");
    }
}

#[test]
fn every_refusal_comes_back_as_itself() {
    let vm = VmId(Uuid::from_u128(1));
    let evacuation = EvacuationId(Uuid::from_u128(2));
    let refusals = [
        Refusal::BelowFloor { vm, token: Token::new(1, 1), floor: Token::new(2, 0) },
        Refusal::Busy { vm, mutation: Mutation::Seal },
        Refusal::InAnotherEvacuation { vm, other: evacuation },
        Refusal::ClaimedInBetween { evacuation, expected: Epoch(1), found: Epoch(2) },
        Refusal::TooManyLeftovers { vm },
    ];
    for refusal in refusals {
        let fault = Fault::from(&sent(refusal_status(&refusal)));
        assert_eq!(SiteFailure::from(fault), SiteFailure::from(&refusal));
        assert_eq!(SiteFailure::from(&refusal).reason, refusal.reason());
    }
}

#[test]
fn a_status_that_muster_did_not_make_is_unknown_whatever_its_code() {
    for number in 1..=16 {
        let fault = Fault::from(&Status::new(Code::from_i32(number), "from a proxy"));
        assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, TRANSPORT), "code {number}");
        assert!(fault.message.contains("from a proxy"));
    }
}

#[test]
fn details_of_another_domain_or_none_that_can_be_read_are_unknown() {
    let metadata = HashMap::from([("class".to_owned(), "refused".to_owned())]);
    let foreign = ErrorDetails::with_error_info("BELOW_FLOOR", "example.com", metadata);
    let fault = Fault::from(&Status::with_error_details(Code::Aborted, "no", foreign));
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, TRANSPORT));

    let garbled = Status::with_details(Code::Aborted, "no", vec![0xff, 0xff, 0xff].into());
    assert_eq!(Fault::from(&garbled).reason, TRANSPORT);
}

#[test]
fn a_class_of_a_newer_version_is_unknown_but_keeps_its_reason() {
    let metadata = HashMap::from([("class".to_owned(), "later".to_owned())]);
    let details = ErrorDetails::with_error_info("NEW_REASON", DOMAIN, metadata);
    let fault = Fault::from(&Status::with_error_details(Code::Aborted, "no", details));
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, "NEW_REASON"));
}

#[test]
fn an_invalid_message_comes_back_with_its_field() {
    let error = InvalidMessage::new("commands[3].token", Problem::Missing);
    let status = sent(error.into());
    assert_eq!(status.code(), Code::InvalidArgument);
    let fault = Fault::from(&status);
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Refused, INVALID_MESSAGE));
    let violation = Violation { field: "commands[3].token".into(), description: "is missing; set it".into() };
    assert_eq!(fault.violations, [violation]);
}

#[test]
fn more_violations_than_fit_a_header_are_counted() {
    let violation = |index: usize| Violation { field: format!("line {index}"), description: "ä".repeat(4_000) };
    let status = invalid("the runbook has mistakes", (0..50).map(violation));
    assert_eq!(status.message(), "the runbook has mistakes (and 34 more)");
    let http = status.clone().into_http::<()>();
    let bytes: usize = http.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(bytes < 16 * 1024, "{bytes} bytes of headers");
    let fault = Fault::from(&sent(status));
    assert_eq!(fault.violations.len(), limits::VIOLATIONS_MAX);
    assert!(fault.violations.iter().all(|v| v.description.len() <= limits::VIOLATION_MAX_BYTES));
}

#[test]
fn what_was_not_heard_or_not_understood_is_unknown() {
    assert_eq!(Fault::timed_out("Execute").class(), Class::Unknown);
    let fault = Fault::unreadable(&InvalidMessage::new("reading.vm", Problem::Missing));
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, UNREADABLE_ANSWER));
    let passed_on = Fault::from(&sent(Fault::timed_out("Execute").into()));
    assert_eq!((passed_on.class, passed_on.reason.as_str()), (Class::Unknown, TRANSPORT));
}
