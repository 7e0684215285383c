//! Moves that are over and moves to come, read from JSON lines. Every line of both files is read before an order stands.

use super::input::{STANDARD_INPUT, read};
use crate::args::PredictArgs;
use crate::error::CliError;
use muster_core::ids::clip;
use muster_core::predict::{Completed, Move, Route, Unfit, Workload};
use muster_core::runbook::{MISTAKES_MAX, Mistake};
use serde_json::{Map, Value};
use std::path::Path;

/// What is predicted from what.
#[derive(Debug)]
pub(crate) struct PredictOrder {
    /// The oldest first.
    pub(crate) history: Vec<Completed>,
    pub(crate) moves: Vec<Move>,
}

impl TryFrom<PredictArgs> for PredictOrder {
    type Error = CliError;
    fn try_from(args: PredictArgs) -> Result<Self, CliError> {
        let is_input = |path: &Path| path == Path::new(STANDARD_INPUT);
        if is_input(&args.history) && is_input(&args.moves) {
            return Err(CliError::Usage {
                what: "--history and --moves: both are standard input".to_owned(),
                mend: "write one of them to a file".to_owned(),
            });
        }
        let mut mistakes = Mistakes { shown: Vec::new(), more: 0 };
        let history = lines(&args.history, "reading the history", &mut mistakes, |line| {
            let of = line.a_move()?;
            Completed::new(of, line.number("duration_s")?).map_err(|unfit| line.unfit(&unfit))
        })?;
        let moves = lines(&args.moves, "reading the moves", &mut mistakes, |line| line.a_move())?;
        match mistakes {
            Mistakes { shown, more: 0 } if shown.is_empty() => Ok(PredictOrder { history, moves }),
            Mistakes { shown, more } => Err(CliError::Lines { shown, more }),
        }
    }
}

/// Mistakes, each with its file.
struct Mistakes {
    shown: Vec<(String, Mistake)>,
    /// Found beyond [`MISTAKES_MAX`].
    more: usize,
}

/// What a file's lines hold. Mistakes in them are noted, one a line.
fn lines<T>(
    path: &Path,
    doing: &'static str,
    mistakes: &mut Mistakes,
    parse: impl Fn(&Line<'_>) -> Result<T, Mistake>,
) -> Result<Vec<T>, CliError> {
    let text = read(path).map_err(|source| CliError::File { path: path.to_owned(), doing, source })?;
    let mut all = Vec::new();
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        match Line::read(at + 1, text).and_then(|line| parse(&line)) {
            Ok(one) => all.push(one),
            Err(mistake) if mistakes.shown.len() < MISTAKES_MAX => {
                mistakes.shown.push((path.display().to_string(), mistake));
            }
            Err(_) => mistakes.more += 1,
        }
    }
    Ok(all)
}

/// One line, as the object that it is.
struct Line<'t> {
    /// From 1.
    number: usize,
    text: &'t str,
    fields: Map<String, Value>,
}

impl<'t> Line<'t> {
    fn read(number: usize, text: &'t str) -> Result<Self, Mistake> {
        match serde_json::from_str(text) {
            Ok(fields) => Ok(Line { number, text, fields }),
            Err(error) => Err(Mistake {
                line: number,
                column: error.column().max(1),
                what: "the line is not a JSON object".to_owned(),
                mend: "write one object a line, like {\"memory_mib\": 8192, …}, with finite numbers".to_owned(),
            }),
        }
    }

    fn a_move(&self) -> Result<Move, Mistake> {
        let workload = Workload {
            memory_mib: self.number("memory_mib")?,
            storage_mib: if self.has("storage_mib") { self.number("storage_mib")? } else { 0.0 },
            hot_set_mib: self.number("hot_set_mib")?,
            hot_set_s: self.number("hot_set_s")?,
            cold_dirty_mib_s: self.number("cold_dirty_mib_s")?,
        };
        let route = Route {
            link: self.name("link")?,
            path: self.path()?,
            source: self.name("source")?,
            destination: self.name("destination")?,
        };
        Move::new(workload, self.number("rate_mbit_s")?, route).map_err(|unfit| self.unfit(&unfit))
    }

    fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    fn number(&self, field: &str) -> Result<f64, Mistake> {
        let Some(value) = self.fields.get(field) else {
            return Err(self.mistake(field, format!("{field} is missing"), format!("add \"{field}\": with a number")));
        };
        value.as_f64().ok_or_else(|| self.not_a(field, value, "a number"))
    }

    /// A name; none where it isn't given.
    fn name(&self, field: &str) -> Result<Option<String>, Mistake> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) => Ok(Some(name.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(value @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
                Err(self.not_a(field, value, "a text or a number"))
            }
        }
    }

    /// A path: a name, or a list of links' names.
    fn path(&self) -> Result<Option<String>, Mistake> {
        let Some(value @ Value::Array(links)) = self.fields.get("path") else { return self.name("path") };
        let names = links.iter().map(|link| match link {
            Value::String(name) => Some(name.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        let names: Option<Vec<String>> = names.collect();
        names.map(|names| Some(names.join(" "))).ok_or_else(|| self.not_a("path", value, "a list of texts or numbers"))
    }

    fn not_a(&self, field: &str, value: &Value, wanted: &str) -> Mistake {
        self.mistake(field, format!("{field} is {}", clip(&value.to_string())), format!("use {wanted}"))
    }

    fn unfit(&self, unfit: &Unfit) -> Mistake {
        self.mistake(unfit.field, format!("{} is {}", unfit.field, unfit.value), unfit.mend())
    }

    /// A mistake where the field begins; of one that is missing, where the line does.
    fn mistake(&self, field: &str, what: String, mend: String) -> Mistake {
        let before = self.text.find(&format!("\"{field}\"")).and_then(|at| self.text.get(..at));
        let column = before.map_or(1, |before| before.chars().count() + 1);
        Mistake { line: self.number, column, what, mend }
    }
}
