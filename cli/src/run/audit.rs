//! The audit trail: shown, exported, and verified with an orchestrator or without.

use super::Api;
use crate::args::ExportFormat;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::{AuditOrder, Lines, Trail, TrailOrder};
use crate::output::audit::{Audit, HeadShown, Line, Verified, head_text, text, verified_text};
use crate::output::audit_export::{CSV_HEAD, Exported};
use crate::writer::Writer;
use muster_orchestrator::audit_verified;
use muster_proto::v1 as wire;
use muster_store::chain::{ChainCheck, ChainFault, Head, Linked};
use muster_store::sqlite::{JournalFile, LedgerFile};
use muster_store::{JournalQuery, PAGE_MAX, StoreError, StoredRecord};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Longest line of an export, in bytes: many times what a record of the greatest runbook takes.
const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;

pub(super) async fn run(api: &Api, order: AuditOrder, writer: &Writer) -> Result<Exit, CliError> {
    match order {
        AuditOrder::List(lines) => {
            let mut all: Vec<Line> = Vec::new();
            let request = request(api, lines).await?;
            api.audit(request, |page| {
                all.extend(page.into_iter().map(Line::from));
                Ok(())
            })
            .await?;
            writer.result(&Audit { lines: all }, text);
            Ok(Exit::Done)
        }
        AuditOrder::Export { lines, format, to } => {
            let request = request(api, lines).await?;
            export(api, request, format, to, writer).await
        }
        AuditOrder::Head => {
            writer.result(&HeadShown::from(api.audit_head().await?), head_text);
            Ok(Exit::Done)
        }
        AuditOrder::Verify { against } => {
            let verified = Verified::from(api.verify_audit(against).await?);
            Ok(told(&verified, writer))
        }
    }
}

/// Verifies a trail without an orchestrator.
pub(super) fn verify(order: TrailOrder, writer: &Writer) -> Result<Exit, CliError> {
    let against = order.against;
    let verified = match order.trail {
        Trail::Export(path) => verify_export(&path, ChainCheck::new(against))?,
        Trail::Journal(path) => {
            let file = JournalFile::open(&path)?;
            let page = |after_sequence| file.stored(JournalQuery { after_sequence, ..JournalQuery::all() });
            verify_pages(page, ChainCheck::new(against))?
        }
        Trail::Ledger(path) => {
            let file = LedgerFile::open(&path)?;
            verify_pages(|after_sequence| file.stored(after_sequence, PAGE_MAX), ChainCheck::new(against))?
        }
    };
    Ok(told(&verified, writer))
}

/// What a walk has found.
fn verified(head: Head, fault: Option<ChainFault>) -> Verified {
    audit_verified(head, fault).into()
}

fn told(verified: &Verified, writer: &Writer) -> Exit {
    writer.result(verified, verified_text);
    if verified.fault.is_none() { Exit::Done } else { Exit::Broken }
}

async fn request(api: &Api, lines: Lines) -> Result<wire::ListAuditRequest, CliError> {
    let vm = match &lines.vm {
        Some(vm) => Some(api.id_of(vm).await?),
        None => None,
    };
    Ok(wire::ListAuditRequest {
        evacuation: lines.evacuation.map(|id| id.to_string()).unwrap_or_default(),
        vm: vm.map(|id| id.to_string()).unwrap_or_default(),
        by: lines.by.unwrap_or_default(),
        records: lines.records,
        from_ms: lines.from.map_or(0, |from| from.0),
        to_ms: lines.until.map_or(0, |until| until.0),
        page_size: 0,
        page_token: String::new(),
    })
}

async fn export(
    api: &Api,
    request: wire::ListAuditRequest,
    format: ExportFormat,
    to: Option<PathBuf>,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let mut file = match &to {
        Some(path) => Some((path, File::create_new(path).map_err(|source| failed(path, "making it", source))?)),
        None => None,
    };
    let mut write = |text: &str| match &mut file {
        Some((path, file)) => file.write_all(text.as_bytes()).map_err(|source| failed(path, "writing it", source)),
        None => {
            writer.block(text);
            Ok(())
        }
    };
    if format == ExportFormat::Csv {
        write(CSV_HEAD)?;
    }
    let mut count = 0_u64;
    api.audit(request, |page| {
        count += page.len() as u64;
        let mut text = String::new();
        for line in page.into_iter().map(Exported::from) {
            match format {
                ExportFormat::Jsonl => text.push_str(&json_line(&line)?),
                ExportFormat::Csv => text.push_str(&line.csv()),
            }
        }
        write(&text)
    })
    .await?;
    if let Some((path, file)) = &file {
        file.sync_all().map_err(|source| failed(path, "syncing it", source))?;
        writer.note(&format!("{count} lines are exported to {}", path.display()));
    }
    Ok(Exit::Done)
}

fn json_line(line: &Exported) -> Result<String, CliError> {
    let json = serde_json::to_string(line).map_err(|error| CliError::Usage {
        what: format!("line {} can't be written as JSON: {error}", line.sequence),
        mend: "keep the journal, and report it".to_owned(),
    })?;
    Ok(json + "\n")
}

fn verify_export(path: &Path, mut check: ChainCheck<StoredRecord>) -> Result<Verified, CliError> {
    let file = File::open(path).map_err(|source| failed(path, "opening it", source))?;
    let mut reader = BufReader::new(file);
    loop {
        let mut bytes = Vec::new();
        let read = (&mut reader).take(LINE_MAX_BYTES).read_until(b'\n', &mut bytes);
        if read.map_err(|source| failed(path, "reading it", source))? == 0 {
            return Ok(verified(check.head(), check.end(0).err()));
        }
        // Where a line isn't to the letter what is exported of it, it was changed after.
        let stored = serde_json::from_slice(&bytes).ok().and_then(|line: Exported| line.stored());
        let Some(stored) = stored else {
            return Ok(verified(check.head(), Some(ChainFault::Changed { sequence: check.head().sequence + 1 })));
        };
        let before = check.head();
        if let Err(fault) = check.take(&stored) {
            return Ok(verified(before, Some(fault)));
        }
        let exported = match Exported::of(&stored) {
            Ok(exported) => json_line(&exported)?,
            Err(error) => {
                return Err(CliError::Usage {
                    what: format!("{}: {error}", path.display()),
                    mend: "its link fits, so it is of another muster: verify it with the one that exported it"
                        .to_owned(),
                });
            }
        };
        if exported.as_bytes() != bytes {
            return Ok(verified(before, Some(ChainFault::Changed { sequence: stored.sequence })));
        }
    }
}

/// Walks along a file's history, a page after the other.
fn verify_pages<L: Linked>(
    page_after: impl Fn(u64) -> Result<Vec<L>, StoreError>,
    mut check: ChainCheck<L>,
) -> Result<Verified, CliError> {
    loop {
        let page = page_after(check.head().sequence)?;
        if page.is_empty() {
            return Ok(verified(check.head(), check.end(0).err()));
        }
        if let Some(fault) = page.iter().find_map(|stored| check.take(stored).err()) {
            return Ok(verified(check.head(), Some(fault)));
        }
    }
}

fn failed(path: &Path, doing: &'static str, source: std::io::Error) -> CliError {
    CliError::File { path: path.to_owned(), doing, source }
}
