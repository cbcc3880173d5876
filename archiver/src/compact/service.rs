//! Compaction that goes on for as long as the archiver runs: looks now and then, does what is due, tries again later.
//!
//! Nothing that fails here puts data at risk, since the raw files stay until their rows were read back; so no error ends
//! it. It is told, counted, and tried again after a pause that grows.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Compactor, Outcome, When};
use crate::{Compaction, Error, Root, Table, happenings};

/// How often waiting looks whether it is to stop.
const STOP_LOOK: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(300);

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Compacted files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Raw files deleted.
    pub inputs_deleted: u64,
}

/// Compacts what is due until `shutdown`. Blocks. An error means that it could not begin.
pub fn run(
    config: &Compaction,
    root: impl Into<Root>,
    shutdown: &CancellationToken,
) -> Result<Summary, Error> {
    config.check()?;
    let root = root.into();
    let mut summary = Summary::default();
    let look_every = Duration::from_millis(config.look_every_ms);
    let mut pause = look_every;
    while !shutdown.is_cancelled() {
        let (table, round) = match Compactor::open(&root, config) {
            Ok(compactor) => one_round(&compactor, config, shutdown, &mut summary),
            Err(error) => (Table::Events, Err(error)),
        };
        pause = match round {
            Ok(()) | Err(Error::Stopped) => look_every,
            Err(error) => {
                let longer = (pause * 2).clamp(look_every, PAUSE_LONGEST.max(look_every));
                happenings::compaction_put_off(table, &error, longer);
                longer
            }
        };
        wait(pause, shutdown);
    }
    Ok(summary)
}

/// Does everything that is due; tells the table that the first failure was on.
fn one_round(
    compactor: &Compactor,
    config: &Compaction,
    shutdown: &CancellationToken,
    summary: &mut Summary,
) -> (Table, Result<(), Error>) {
    let mut first_failure = (Table::Events, Ok(()));
    for table in Table::ALL {
        if let Err(error) = of_table(compactor, table, config, shutdown, summary)
            && first_failure.1.is_ok()
        {
            first_failure = (table, Err(error));
        }
    }
    first_failure
}

fn of_table(
    compactor: &Compactor,
    table: Table,
    config: &Compaction,
    shutdown: &CancellationToken,
    summary: &mut Summary,
) -> Result<(), Error> {
    loop {
        let outcome =
            compactor.compact(table, When::Due, &mut |_| match shutdown.is_cancelled() {
                true => Err(Error::Stopped),
                false => Ok(()),
            })?;
        match outcome {
            Outcome::Done(done) => {
                summary.files += 1;
                summary.rows += done.footer.rows;
            }
            Outcome::Lost => happenings::compaction_lost(table),
            Outcome::Nothing | Outcome::Busy => break,
        }
    }
    if config.delete_inputs && !shutdown.is_cancelled() {
        let deleted = compactor.delete_inputs(table, Timestamp::now().as_millisecond())?;
        summary.inputs_deleted += deleted.files;
    }
    Ok(())
}

fn wait(pause: Duration, shutdown: &CancellationToken) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !shutdown.is_cancelled() {
        std::thread::sleep(STOP_LOOK.min(pause));
    }
}
