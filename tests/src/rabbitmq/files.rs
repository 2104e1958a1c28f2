//! What a node reads when it starts, and the scripts that set its environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Where packages put RabbitMQ's own scripts. The wrappers in `PATH` change user and directory; these do not.
const SCRIPT_FOLDERS: [&str; 4] =
    ["/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/sbin", "/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"];

/// The Erlang name of the node with this port.
pub(super) fn name(port: u16) -> String {
    format!("node{port}@localhost")
}

/// Writes what a node reads, and the two scripts that set its environment.
pub(super) fn write(
    folder: &Path,
    data: &Path,
    [port, distribution, names]: [u16; 3],
    more: &str,
) -> Result<()> {
    let scripts = SCRIPT_FOLDERS.iter().map(Path::new).find(|path| path.join("rabbitmq-server").exists());
    let scripts = scripts.context("RabbitMQ is not installed (Debian: apt-get install rabbitmq-server)")?;
    let (here, data) = (folder.display(), data.display());
    let environment = format!(
        "#!/bin/sh\n\
         export HOME='{here}'\n\
         export ERL_EPMD_PORT={names} ERL_EPMD_ADDRESS=127.0.0.1\n\
         export RABBITMQ_NODENAME={}\n\
         export RABBITMQ_DIST_PORT={distribution}\n\
         # Any port, instead of eleven that all tests of this machine would share.\n\
         export RABBITMQ_CTL_DIST_PORT_MIN=0 RABBITMQ_CTL_DIST_PORT_MAX=0\n\
         export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE='{here}/rabbitmq'\n\
         export RABBITMQ_ADVANCED_CONFIG_FILE='{here}/advanced'\n\
         export RABBITMQ_MNESIA_BASE='{data}' RABBITMQ_LOG_BASE='{here}/log'\n\
         export RABBITMQ_GENERATED_CONFIG_DIR='{here}/generated' RABBITMQ_SCHEMA_DIR='{here}/schema'\n\
         export RABBITMQ_ENABLED_PLUGINS_FILE='{here}/enabled_plugins' RABBITMQ_PID_FILE='{here}/pid'\n\
         export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {{127,0,0,1}} +S 2:2 +sbwt none'\n\
         # Makes the script become the node instead of its parent.\n\
         export RUNNING_UNDER_SYSTEMD=1\n",
        name(port)
    );
    let configuration = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\n\
         disk_free_limit.absolute = 50MB\n\
         vm_memory_high_watermark.absolute = 512MB\n\
         log.console = true\n\
         log.console.level = warning\n\
         {more}\n"
    );
    let script = |name: &str| format!("{environment}exec '{}' \"$@\"\n", scripts.join(name).display());
    write_file(&folder.join("rabbitmq.conf"), &configuration, 0o600)?;
    write_file(&folder.join("enabled_plugins"), "[].\n", 0o600)?;
    // Made up beforehand: rabbitmqctl may be the first to look for it.
    write_file(&folder.join(".erlang.cookie"), &format!("cookie{names}"), 0o400)?;
    write_file(&folder.join("rabbitmq-server"), &script("rabbitmq-server"), 0o700)?;
    write_file(&folder.join("rabbitmqctl"), &script("rabbitmqctl"), 0o700)
}

fn write_file(path: &Path, text: &str, mode: u32) -> Result<()> {
    let written =
        fs::write(path, text).and_then(|()| fs::set_permissions(path, PermissionsExt::from_mode(mode)));
    written.with_context(|| format!("writing {}", path.display()))
}
