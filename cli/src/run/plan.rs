//! Plans a scenario or a runbook. Starts and keeps nothing but the files that were asked for.

use super::{Api, Transport};
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::{EvacuationPlanOrder, From, Inventories, PlanOrder, Scenario};
use crate::output::evacuation_plan::{EvacuationPlan, text as evacuation_text};
use crate::output::gantt;
use crate::output::plan::{Planned, text};
use crate::writer::Writer;
use muster_core::env::Env;
use muster_core::forecast::{Ahead, Forecaster};
use muster_core::ids::SiteName;
use muster_core::plan::{Severity, lay_out};
use muster_core::reading::Inventory;
use muster_core::timetable::{Bound, plan};
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// What chance begins with: the same scenario is planned the same way, as far as its budget allows the same steps.
const SEED: u64 = 1;
/// How long a better order of a runbook's moves is looked for.
const BUDGET: Duration = Duration::from_secs(2);

pub(super) async fn run(
    order: PlanOrder,
    env: &dyn Env,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    match order {
        PlanOrder::Scenario(scenario) => Ok(run_scenario(&scenario, writer)),
        PlanOrder::Evacuation(order) => run_evacuation(*order, env, transport, writer).await,
    }
}

fn run_scenario(scenario: &Scenario, writer: &Writer) -> Exit {
    let begun = Instant::now();
    let mut budget = Budget::of(scenario.budget);
    let timetable = plan(&scenario.problem, scenario.deadline_ns, SEED, &mut || budget.allows_more());
    let planning = begun.elapsed();
    let planned = Planned::new(scenario, &Bound::of(&scenario.problem), &timetable, planning);
    writer.result(&planned, text);
    if planned.left_behind.is_empty() { Exit::Done } else { Exit::Held }
}

pub(super) async fn run_evacuation(
    order: EvacuationPlanOrder,
    env: &dyn Env,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let EvacuationPlanOrder { runbook, from, svg } = order;
    let inventories = match from {
        From::File(inventories) => *inventories,
        From::Sites { orchestrator, save } => {
            let api = Api::connect(orchestrator, transport).await?;
            let read = read_sites(&api, &runbook.source, &runbook.destination, env).await?;
            if let Some(path) = save {
                keep(&path, &read)?;
            }
            read
        }
    };
    let (laid_out, findings) = lay_out(&runbook, &inventories.source, &inventories.destination, None);
    let moves: Vec<_> = laid_out.moves.iter().map(muster_core::plan::PlannedMove::to_journal).collect();
    let ahead: Vec<Ahead<'_>> = moves.iter().map(|planned| Ahead { planned, since: None }).collect();
    let (now, begun, mut budget) = (env.now(), Instant::now(), Budget::of(BUDGET));
    let forecast = Forecaster::new(&runbook).forecast(&ahead, now, SEED, &mut || budget.allows_more());
    let forecast = forecast.map_err(|error| CliError::Usage {
        what: format!("the moves can't be planned: {error}"),
        mend: "split the runbook into several".to_owned(),
    })?;
    let blocks = findings.iter().any(|finding| finding.severity() == Severity::Blocking);
    let shown = EvacuationPlan::new(&runbook, now, &moves, &forecast, &findings, begun.elapsed());
    if let Some(path) = svg {
        let failed = |source| CliError::File { path: path.clone(), doing: "drawing the plan", source };
        std::fs::write(&path, gantt::svg(&shown)).map_err(failed)?;
    }
    writer.result(&shown, evacuation_text);
    Ok(match (blocks, shown.late) {
        (true, _) => Exit::Refused,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Held,
    })
}

async fn read_sites(
    api: &Api,
    source: &SiteName,
    destination: &SiteName,
    env: &dyn Env,
) -> Result<Inventories, CliError> {
    let (source, destination) = futures::try_join!(api.inventory(source), api.inventory(destination))?;
    Ok(Inventories { read_at_ms: env.now().0, source: plain(source), destination: plain(destination) })
}

/// Without the hypervisors' own documents, which no plan looks at.
fn plain(mut inventory: Inventory) -> Inventory {
    for listing in &mut inventory.vms {
        listing.definition.document = String::new();
    }
    inventory
}

/// Writes inventories into a new file; one that is there is never lost.
fn keep(path: &Path, inventories: &Inventories) -> Result<(), CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), doing: "keeping the inventories", source };
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    serde_json::to_writer(&mut file, inventories).map_err(|error| failed(error.into()))?;
    file.flush().map_err(failed)
}

/// How long planning may go on: not into a step that would most likely end too late.
struct Budget {
    begun: Instant,
    whole: Duration,
    asked_at: Instant,
    longest_step: Duration,
}

impl Budget {
    fn of(whole: Duration) -> Self {
        let begun = Instant::now();
        Budget { begun, whole, asked_at: begun, longest_step: Duration::ZERO }
    }

    fn allows_more(&mut self) -> bool {
        let now = Instant::now();
        self.longest_step = self.longest_step.max(now - self.asked_at);
        self.asked_at = now;
        now - self.begun + self.longest_step < self.whole
    }
}
