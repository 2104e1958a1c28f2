//! Dispatches for tests.

use std::path::Path;
use std::sync::Arc;

use backstitch_proto::id::{DispatchId, RunId};
use backstitch_proto::message::{Dispatch, Executor, Invocation, TaskSpec, Window};
use uuid::Uuid;

use crate::clock::now_us;
use crate::execution::{Executed, Execution, Executors};
use crate::stop::{self, StopSignal};

const DAY_US: i64 = 86_400_000_000;

/// A dispatch of a partition per key; their windows are the days from the epoch on.
pub(crate) fn dispatch(asset: &str, keys: &[&str]) -> Dispatch {
    let tasks = keys.iter().zip(0..).map(|(key, ordinal)| TaskSpec {
        ordinal,
        key: (*key).to_owned(),
        window: Some(Window {
            start_us: i64::from(ordinal) * DAY_US,
            end_us: i64::from(ordinal + 1) * DAY_US,
        }),
    });
    Dispatch {
        id: DispatchId(1),
        run: RunId(Uuid::from_u128(1)),
        asset: asset.to_owned(),
        attempt: 1,
        announce_start: false,
        created_us: now_us(),
        invocation: Arc::new(Invocation {
            executor: Executor::Native,
            job: None,
            config_json: "{}".to_owned(),
            code_version: None,
            partitioned: true,
            dimensions: Vec::new(),
            batch_size: 1,
            timeout_ms: None,
            grace_ms: 1_000,
        }),
        tasks: tasks.collect(),
    }
}

/// A dispatch of an asset without partitions.
pub(crate) fn unpartitioned(asset: &str) -> Dispatch {
    let mut dispatch = dispatch(asset, &[""]);
    dispatch.tasks[0].window = None;
    invocation(&mut dispatch).partitioned = false;
    dispatch
}

/// A dispatch whose partitions are computed together by a command.
pub(crate) fn command(keys: &[&str], command: &[&str]) -> Dispatch {
    let mut dispatch = dispatch("my_asset", keys);
    let size = u32::try_from(keys.len()).unwrap();
    let invocation = invocation(&mut dispatch);
    invocation.batch_size = size;
    invocation.executor =
        Executor::Command { command: command.iter().map(|&word| word.to_owned()).collect(), env: Vec::new() };
    dispatch
}

/// A dispatch whose partitions are computed together by a shell script.
pub(crate) fn shell(keys: &[&str], script: &str) -> Dispatch {
    command(keys, &["sh", "-c", script])
}

/// The invocation of a dispatch that nothing shares yet.
pub(crate) fn invocation(dispatch: &mut Dispatch) -> &mut Invocation {
    Arc::get_mut(&mut dispatch.invocation).unwrap()
}

/// Calls `act` with an execution of all tasks of `dispatch`.
pub(crate) fn with_execution<T>(dispatch: Dispatch, act: impl FnOnce(&Execution<'_>) -> T) -> T {
    let (_stopper, mut stop) = stop::channel();
    let dispatch = Arc::new(dispatch);
    act(&Execution {
        dispatch: &dispatch,
        tasks: &dispatch.tasks,
        first: 0,
        trace: None,
        project_dir: &Arc::from(Path::new("/")),
        stop: &mut stop,
    })
}

/// Executes all tasks of `dispatch` together.
pub(crate) async fn execute(executors: &Executors, dispatch: Dispatch, mut stop: StopSignal) -> Executed {
    let dispatch = Arc::new(dispatch);
    let project_dir = Arc::from(std::env::temp_dir());
    let execution = Execution {
        dispatch: &dispatch,
        tasks: &dispatch.tasks,
        first: 0,
        trace: None,
        project_dir: &project_dir,
        stop: &mut stop,
    };
    executors.execute(execution).await
}
