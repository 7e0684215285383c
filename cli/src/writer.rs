//! The one place that prints. Results go to standard output, everything else to standard error.
//!
//! A reader that has gone away (`muster list | head`) is no error: what can't be written is dropped.

use crate::args::Format;
use crate::error::CliError;
use crate::exit::Exit;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Prints, in the format that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    format: Format,
}

impl Writer {
    /// A writer of this format.
    pub(crate) fn new(format: Format) -> Self {
        Writer { format }
    }

    /// Whether the result is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        match self.format {
            Format::Json => true,
            Format::Text => false,
        }
    }

    /// A result: as one line of JSON, or as text for people.
    pub(crate) fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) {
        match self.format {
            Format::Json => self.json(value),
            Format::Text => self.line(text(value).trim_end()),
        }
    }

    /// A result that is one line of JSON in either format.
    pub(crate) fn json<T: Serialize>(&self, value: &T) {
        match serde_json::to_string(value) {
            Ok(json) => self.line(&json),
            Err(error) => self.note(&format!("the result can't be written as JSON: {error}")),
        }
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        let _reader_gone = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// Several lines of the result at once, each with its end.
    pub(crate) fn block(&self, lines: &str) {
        let mut out = std::io::stdout().lock();
        let _reader_gone = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    }

    /// A line for people beside the result.
    pub(crate) fn note(&self, line: &str) {
        to_stderr(line);
    }

    /// An error.
    pub(crate) fn error(&self, error: &CliError) {
        for line in error.lines() {
            to_stderr(&format!("muster: error: {line}"));
        }
    }
}

/// Whether progress can be drawn.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// What clap has to say: help and versions to standard output, mistakes to standard error.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        to_stderr(format!("muster: {}", error.render()).trim_end());
        Exit::Usage
    } else {
        let _reader_gone = error.print();
        Exit::Done
    }
}

fn to_stderr(line: &str) {
    let _reader_gone = writeln!(std::io::stderr().lock(), "{line}");
}
