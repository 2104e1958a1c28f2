//! A coordinator to ask.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use backstitch_broker::InProcess;
use backstitch_coordinator::service::{Coordinator, Handle, Options};
use backstitch_coordinator::{api, engine, ledger};
use backstitch_proto::definition::Definitions;
use backstitch_worker::{AssetError, Context, Materialization, Worker, WorkerOptions};
use prometheus::{IntCounter, Registry};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longest wait for anything that happens by itself.
const SOON: Duration = Duration::from_secs(60);

/// More than any answer here.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Ten days. `raw` fails on the fifth, `sum` follows it; nobody takes tasks from the queue of `held`.
const PROJECT: &str = r"
partitions:
  days: { kind: daily, start: 2024-01-01, end: 2024-01-11 }
assets:
  raw: { partitions: days, description: What came in., group: inputs }
  sum: { partitions: days, deps: [raw] }
  held: { queue: nobody }
";

/// Where the coordinator says that it is reached.
pub(crate) const ADDRESS: &str = "http://coordinator:3070";

/// A coordinator, and what it consists of.
pub(crate) struct World {
    router: Router,
    stop: CancellationToken,
    parts: Vec<JoinHandle<()>>,
    /// Of the ledger and the project.
    folder: TempDir,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The status; shows the answer otherwise.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

impl World {
    /// A coordinator that leads, and a worker.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (coordinator, broker) = coordinator(&folder).await;
        let (handle, stop) = (coordinator.handle(), CancellationToken::new());
        let options = WorkerOptions {
            name: "worker-1".to_owned(),
            slots: 3,
            project_dir: folder.path().to_owned(),
            ..WorkerOptions::default()
        };
        let worker = Worker::builder().options(options).broker(broker);
        let worker =
            worker.asset("raw", raw).asset("sum", |_| async { Ok::<_, AssetError>(Materialization::new()) });
        let (until, worker_until) = (stop.clone(), stop.clone());
        let parts = vec![
            tokio::spawn(async move { coordinator.run(until).await.expect("a good end") }),
            tokio::spawn(async move { worker.run_until(worker_until).await.expect("a good end") }),
        ];
        let leads = handle.clone();
        let world = Self { router: router(handle), stop, parts, folder };
        world.until("leadership", async || leads.epoch()).await;
        world
    }

    /// A coordinator that never leads, as a standby.
    pub(crate) async fn standby() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (coordinator, _) = coordinator(&folder).await;
        let router = router(coordinator.handle());
        Self { router, stop: CancellationToken::new(), parts: Vec::new(), folder }
    }

    /// Ends everything; a part that panicked is a failure.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        for part in self.parts {
            part.await.expect("a part that ended well");
        }
    }

    /// Changes rows of the ledger behind its back.
    pub(crate) async fn damage(&self, statement: &'static str) {
        let path = format!("sqlite:{}", self.folder.path().join("ledger.db").display());
        let mut session = SqliteConnection::connect(&path).await.expect("opening");
        sqlx::query(statement).execute(&mut session).await.expect("changing rows");
    }

    /// Hands a request to the router.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, ANSWER_BYTES_MAX).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// A request without a body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        self.send(request.expect("a request")).await
    }

    /// What is there.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path).await.expect(200).json()
    }

    /// A request with a JSON body.
    pub(crate) async fn ask_with(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into());
        self.send(request.expect("a request")).await
    }

    /// Submits a run; its id.
    pub(crate) async fn submit(&self, submission: &Value) -> String {
        let submitted = self.ask_with("POST", "/api/runs", submission).await.expect(201).json();
        submitted["run"].as_str().expect("a run").to_owned()
    }

    /// Waits until a run is in this state, and gives it.
    pub(crate) async fn until_status(&self, run: &str, status: &str) -> Value {
        self.until(status, async || {
            let shown = self.get(&format!("/api/runs/{run}")).await;
            (shown["status"] == status).then_some(shown)
        })
        .await
    }

    /// Waits until `probe` gives something.
    pub(crate) async fn until<T>(&self, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
        let found = timeout(SOON, async {
            loop {
                if let Some(found) = probe().await {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }
}

async fn raw(context: Context) -> Result<Materialization, AssetError> {
    match context.partition_key() {
        "2024-01-05" => Err(AssetError::new("no data").permanent()),
        _ => Ok(Materialization::new().metadata("rows", 24)),
    }
}

async fn coordinator(folder: &TempDir) -> (Coordinator, Arc<InProcess>) {
    let address = ledger::Address::sqlite(folder.path().join("ledger.db"));
    ledger::migrate(&address).await.expect("a schema");
    let ledger = ledger::connect(&address).await.expect("a ledger");
    let definitions = Definitions::from_yaml("backstitch.yaml", PROJECT).expect("a project");
    let options = Options {
        name: "coordinator".to_owned(),
        api_address: ADDRESS.to_owned(),
        engine: engine::Options::default(),
        keep_history: None,
    };
    let broker = Arc::new(InProcess::new());
    let shared = Arc::clone(&broker) as _;
    (Coordinator::new(options, Arc::new(definitions), ledger, shared), broker)
}

fn router(handle: Handle) -> Router {
    let metrics = Registry::new();
    let counter = IntCounter::new("things_total", "Things.").expect("a counter");
    counter.inc();
    metrics.register(Box::new(counter)).expect("a metric");
    api::router(handle, Arc::new(metrics)).0
}
