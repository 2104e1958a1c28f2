//! A private RabbitMQ node: own ports, own data, own Erlang name server, nothing shared with a system service.
//!
//! It can be harmed: stopped, killed, frozen, and started again on the same port with the same data.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::child::Group;
use crate::wait::wait_for;
use crate::{port, server};

/// A node boots in 6 s on an idle machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// An orderly stop takes about as long.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const CTL_PATIENCE: Duration = Duration::from_secs(60);
/// How long one answer to an AMQP greeting may take.
const GREETING_PATIENCE: Duration = Duration::from_secs(2);

/// A private node.
#[derive(Debug)]
pub struct RabbitMq {
    folder: TempDir,
    port: u16,
    server: Option<Group>,
    /// The node's name server, which the nodes of a cluster share; ended after them.
    _name_server: Arc<Group>,
}

impl RabbitMq {
    /// Starts a node and waits until it takes connections.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start; the end of its log is part of the error.
    pub async fn start() -> Result<Self> {
        Self::start_one(None).await
    }

    /// Starts a node whose data is in this folder: on a file system that the test has prepared.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_on(data: &Path) -> Result<Self> {
        Self::start_one(Some(data)).await
    }

    async fn start_one(data: Option<&Path>) -> Result<Self> {
        let [names, ports @ ..] = port::free::<3>()?;
        let mut node = Self::prepare(&name_server(names)?, names, ports, "", data)?;
        node.restart().await?;
        Ok(node)
    }

    /// Starts three nodes that are one cluster. A minority of them pauses.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_three() -> Result<[Self; 3]> {
        let [names, ports @ ..] = port::free::<7>()?;
        let ports = [[ports[0], ports[1]], [ports[2], ports[3]], [ports[4], ports[5]]];
        let mut configuration = String::from(
            "cluster_formation.peer_discovery_backend = classic_config\n\
             cluster_partition_handling = pause_minority\n\
             net_ticktime = 10\n",
        );
        for (number, [port, _]) in (1..).zip(ports) {
            configuration +=
                &format!("cluster_formation.classic_config.nodes.{number} = {}\n", files::name(port));
        }
        let name_server = name_server(names)?;
        let [first, second, third] =
            ports.map(|ports| Self::prepare(&name_server, names, ports, &configuration, None));
        let (mut first, mut second, mut third) = (first?, second?, third?);
        // All at once: the first to boot makes the cluster, the others wait for it.
        tokio::try_join!(first.restart(), second.restart(), third.restart())?;
        Ok([first, second, third])
    }

    /// A node that does not run yet.
    fn prepare(
        name_server: &Arc<Group>,
        names: u16,
        [port, distribution]: [u16; 2],
        configuration: &str,
        data: Option<&Path>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("backstitch-rabbitmq-").tempdir()?;
        let data = data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        files::write(folder.path(), &data, [port, distribution, names], configuration)?;
        Ok(Self { folder, port, server: None, _name_server: Arc::clone(name_server) })
    }

    /// The node's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// A script that runs `rabbitmqctl` on this node.
    #[must_use]
    pub fn ctl_path(&self) -> PathBuf {
        self.folder.path().join("rabbitmqctl")
    }

    /// Runs `rabbitmqctl`, and gives its output.
    ///
    /// # Errors
    /// When it fails.
    pub async fn ctl<const N: usize>(&self, arguments: [&str; N]) -> Result<String> {
        run_ctl(&self.ctl_path(), &arguments).await
    }

    /// Whether clients are served.
    pub async fn serves(&self) -> bool {
        greets(self.port).await
    }

    /// Connections of clients to this node, and to no other of its cluster.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn clients(&self) -> Result<usize> {
        let count = self.ctl(["eval", "length(rabbit_networking:connections_local())."]).await?;
        count.trim().parse().with_context(|| format!("no number of connections: {count}"))
    }

    /// Whether `name` is what Erlang calls this node.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        files::name(self.port) == name
    }

    /// Starts the node again, after [`stop`](Self::stop) or [`kill`](Self::kill), on the same port and data.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        let log = self.log_path();
        let mut command = Command::new(self.folder.path().join("rabbitmq-server"));
        // Where it leaves a dump of itself when it crashes.
        command.current_dir(self.folder.path());
        let port = self.port;
        let serves = async || greets(port).await;
        server::start(&mut self.server, ("RabbitMQ", command), &log, BOOT_PATIENCE, serves).await
    }

    /// What the node has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        // It quotes messages, which need not be text.
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("out.log")
    }

    /// Stops the node in good order: clients are told, data is written.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the node is not running")?;
        server.signal_leader(Signal::SIGTERM)?;
        server.wait(STOP_PATIENCE).await.map(drop)
    }

    /// Ends the node as a crash would.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&mut self) -> Result<()> {
        self.server.take().context("the node is not running")?.kill().await
    }

    /// Parts the node from the others of its cluster, and waits until it pauses because it is a minority. Meanwhile no
    /// cable between a client and any node is broken.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn part(&self) -> Result<()> {
        // A wrong cookie keeps them from connecting again, in either direction.
        let part = "Others = nodes(), application:set_env(kernel, parted, Others), \
            [erlang:set_cookie(Other, parted) || Other <- Others], \
            [erlang:disconnect_node(Other) || Other <- Others].";
        self.ctl(["eval", part]).await?;
        wait_for("the minority to pause", STOP_PATIENCE, async || (!self.serves().await).then_some(())).await
    }

    /// Lets a parted node hear the others again, and waits until it serves clients.
    ///
    /// # Errors
    /// When it was not parted.
    pub async fn reunite(&self) -> Result<()> {
        let reunite = "{ok, Others} = application:get_env(kernel, parted), \
            [erlang:set_cookie(Other, erlang:get_cookie()) || Other <- Others].";
        self.ctl(["eval", reunite]).await?;
        wait_for("the minority to go on", BOOT_PATIENCE, async || self.serves().await.then_some(())).await
    }

    /// Stops the node's processes in their tracks: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When it is not running.
    pub fn freeze(&self) -> Result<()> {
        self.server.as_ref().context("the node is not running")?.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen node go on.
    ///
    /// # Errors
    /// When it is not running.
    pub fn thaw(&self) -> Result<()> {
        self.server.as_ref().context("the node is not running")?.signal(Signal::SIGCONT)
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        // Before the folder goes: a living node would write into what is being removed.
        drop(self.server.take());
    }
}

fn name_server(port: u16) -> Result<Arc<Group>> {
    let started =
        Group::spawn(Command::new("epmd").args(["-address", "127.0.0.1", "-port", &port.to_string()]));
    Ok(Arc::new(started.context("Erlang's name server (package erlang-base) is needed by RabbitMQ")?))
}

/// Runs the script `rabbitmqctl` of a node.
pub(crate) async fn run_ctl(script: &Path, arguments: &[&str]) -> Result<String> {
    let running = Command::new(script).args(arguments).kill_on_drop(true).output();
    let output = timeout(CTL_PATIENCE, running).await.context("rabbitmqctl did not end")?;
    let output = output.with_context(|| format!("running {}", script.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("rabbitmqctl {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

/// Whether AMQP is spoken on `port`: the listener opens only when the node has booted.
async fn greets(port: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    // 1: a method frame, connection.start.
    matches!(timeout(GREETING_PATIENCE, greeting).await, Ok(Ok(1)))
}
