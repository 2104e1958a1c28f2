//! A native asset that ends its process, which nothing can catch: it aborts, overflows its stack, or uses up the memory
//! that there is. With it ends whatever its worker was executing beside it, and it alone is given up.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backstitch_tests::cluster::{Cluster, Journal, PATIENCE, Project, Shape};
use backstitch_tests::process::Process;
use backstitch_tests::wait::{SOON, pass, wait_for};
use backstitch_worker::{Context, Worker, WorkerOptions};
use serde_json::json;
use tokio::process::Command;

/// The folder of the project, for this program where it is the worker.
const PROJECT: &str = "BACKSTITCH_TEST_NATIVE_PROJECT";

/// The number of slots of the worker, for this program where it is that.
const SLOTS: &str = "BACKSTITCH_TEST_NATIVE_SLOTS";

/// Tasks of a run, for each slot.
const TASKS_PER_SLOT: u32 = 3;

/// Address space of a worker whose memory may be used up, KiB.
const MEMORY_KIB: u32 = 4 << 20;

/// What it is used up with.
const PIECE_BYTES: usize = 64 << 20;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The file of the project that names the partition which ends the process: the first to see the gate open.
const POISON: &str = "poison";

/// Of the others, once the gate is open: when the process ends, they have not.
const TASK: Duration = Duration::from_secs(1);

/// How often a task looks at the gate.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a process that is started again and again is stopped at.
const DEATHS_MAX: usize = 20;

/// Writes what `task.sh` of the fault tests would.
fn say(event: &str, ctx: &Context) {
    let (asset, partition, attempt) = (ctx.asset(), ctx.partition_key(), ctx.attempt());
    let (dispatch, run) = (ctx.fencing_token(), ctx.run_id());
    let at_s = Journal::now_s().expect("the machine has a clock");
    let line = format!("{event} {asset} {partition} {attempt} {dispatch} {run} {at_s:.2}\n");
    let journal = File::options().create(true).append(true).open(ctx.project_dir().join("journal"));
    journal.expect("a journal").write_all(line.as_bytes()).expect("room in the journal");
}

/// Whether this task ends the process.
fn is_poison(ctx: &Context) -> bool {
    let path = ctx.project_dir().join(POISON);
    match File::create_new(&path) {
        Ok(mut file) => {
            file.write_all(ctx.partition_key().as_bytes()).expect("room in the project");
            true
        }
        Err(_) => std::fs::read_to_string(path).expect("a name") == ctx.partition_key(),
    }
}

fn overflow_stack() {
    fn deeper(depth: u64) -> u64 {
        if black_box(true) { black_box(deeper(depth + 1)) + 1 } else { depth }
    }
    black_box(deeper(0));
}

fn use_up_memory() {
    loop {
        std::mem::forget(black_box(Vec::<u8>::with_capacity(PIECE_BYTES)));
    }
}

/// The worker program.
async fn work(project_dir: PathBuf, end_process: fn()) {
    let slots = std::env::var(SLOTS).expect("it is set").parse().expect("a number");
    let function = move |ctx: Context| async move {
        say("begin", &ctx);
        let gate = ctx.project_dir().join("gate");
        while !gate.exists() {
            pass(LOOK_EVERY).await;
        }
        if is_poison(&ctx) {
            end_process();
        }
        pass(TASK).await;
        say("end", &ctx);
    };
    let options = WorkerOptions { slots, project_dir, ..WorkerOptions::default() };
    Worker::builder().asset("a", function).options(options).run().await.expect("it is killed");
}

fn worker(cluster: &Cluster, test: &str, slots: u32) -> Process {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {MEMORY_KIB} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(PROJECT, cluster.project.path())
        .env(SLOTS, slots.to_string())
        .env("BACKSTITCH_BROKER_URL", cluster.broker_url());
    Process::spawn("native", command).expect("this program starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_task_that_aborts_is_given_up_and_its_neighbours_are_not() -> Outcome {
    let test = "a_native_task_that_aborts_is_given_up_and_its_neighbours_are_not";
    is_given_up_alone(test, 8, || std::process::abort()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_task_that_overflows_its_stack_is_given_up_and_its_neighbours_are_not() -> Outcome {
    let test = "a_native_task_that_overflows_its_stack_is_given_up_and_its_neighbours_are_not";
    is_given_up_alone(test, 2, overflow_stack).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_task_that_uses_up_memory_is_given_up_and_its_neighbours_are_not() -> Outcome {
    let test = "a_native_task_that_uses_up_memory_is_given_up_and_its_neighbours_are_not";
    is_given_up_alone(test, 2, use_up_memory).await
}

/// Runs as the worker, if that is what this program was started for; as the test of this name otherwise.
async fn is_given_up_alone(test: &str, slots: u32, end_process: fn()) -> Outcome {
    if let Some(folder) = std::env::var_os(PROJECT) {
        work(folder.into(), end_process).await;
        return Ok(());
    }
    let tasks = slots * TASKS_PER_SLOT;
    let project = Project::new(tasks, 1, "  a: {partitions: slices}\n")?;
    let mut cluster = Cluster::start(project, Shape { workers: 0, ..Shape::default() }).await?;
    let mut native = worker(&cluster, test, slots);
    cluster.until_workers(1).await?;
    let run = cluster.submit().await?;
    // All of them run when it dies for the first time.
    cluster.until_begun(slots as usize).await?;
    cluster.project.open_gate()?;
    assert!(!native.wait(SOON).await?.success(), "it was to be aborted");
    let journal = cluster.project.journal()?;
    assert_eq!((journal.begun(), journal.ends()), (slots as usize, 0), "its neighbours were to die with it");

    let mut deaths = 0;
    let shown = wait_for("the run to end", PATIENCE, async || {
        if native.ended().is_some() {
            deaths += 1;
            native = worker(&cluster, test, slots);
        }
        let shown = cluster.leader_says("GET", &format!("/api/runs/{run}"), None).await?;
        (shown["status"] != "running" || deaths >= DEATHS_MAX).then_some(shown)
    });
    let shown = shown.await?;
    assert!(deaths < DEATHS_MAX, "one task has killed {deaths} workers");
    assert!(shown["counts"]["failed"] == 1 && shown["counts"]["succeeded"] == tasks - 1, "{shown:#}");
    let attempts = cluster.leader_says("GET", &format!("/api/runs/{run}/attempts?failed=true"), None).await;
    let attempts = attempts.ok_or("nobody leads")?;
    let terminal = attempts["items"]
        .as_array()
        .ok_or("no attempts")?
        .iter()
        .filter(|attempt| attempt["terminal"] == true);
    let given_up: Vec<_> = terminal.map(|attempt| &attempt["partition"]).collect();
    let poison = std::fs::read_to_string(Path::new(cluster.project.path()).join(POISON))?;
    assert_eq!(given_up, [&json!(poison)], "{attempts:#}");
    Ok(cluster.audit().await?)
}
