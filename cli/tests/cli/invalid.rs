//! Requests and projects that make no sense: status 2, a sentence that names the place and the mend, nothing done.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::project::Project;

/// Each line: arguments, then what the message must hold.
#[test]
fn a_request_that_makes_no_sense_ends_with_status_2_and_says_the_mend() {
    let project = Project::new();
    let cases: &[(&[&str], &str)] = &[
        (&["backfill"], "required"),
        (&["backfill", "rwa"], "asset \"rwa\" is not defined (did you mean \"raw\"?)"),
        (&["backfill", "raw", "--all"], "cannot be used with"),
        (&["backfill", "--job", "nightly"], "job \"nightly\" is not defined"),
        (&["backfill", "--job", "dayly"], "job \"dayly\" is not defined (did you mean \"daily\"?)"),
        (&["backfill", "raw", "--partitions", "2024-02-01"], "partition \"2024-02-01\" does not exist"),
        (&["backfill", "raw", "--partitions", "2024-1-05"], "did you mean \"2024-01-05\"?"),
        (&["backfill", "raw", "--partitions", "2024-01-05...2024-01-02"], "reversed"),
        (&["backfill", "sum", "--config", "factor=many"], "expected a whole number, found \"many\""),
        (&["backfill", "sum", "--config", "facto=2"], "did you mean \"factor\"?"),
        (&["backfill", "sum", "--config", "factor"], "KEY=VALUE"),
        (&["materializations", "rwa"], "asset \"rwa\" is not defined (did you mean \"raw\"?)"),
        (&["partitions", "list", "rwa"], "did you mean \"raw\"?"),
        (&["runs", "show", "7"], "is not the id of a run"),
        (&["runs", "show", "01a1f99e-fc87-7477-8a75-50de0d96f84e"], "there is no run"),
        (&["runs", "show", "latest"], "there is no run yet"),
        (&["runs", "list", "--server", "localhost:3070"], "such as http://localhost:3070"),
        (
            &["check", "--project", "nowhere"],
            "there is no nowhere/backstitch.yaml: name the project's folder",
        ),
        (&["bench", "--tasks", "0"], "0 is not in 1"),
        (&["bench", "--slots", "0"], "0 is not in 1"),
        (&["bench", "--assets", "0"], "0 is not in 1"),
        (&["bench", "--scenario", "fast"], "throughput, slope, control"),
        (&["bench", "--tasks", "30000000"], "at most 20000000 partitions"),
        (&["bench"], "a measurement needs a PostgreSQL server: --database-url"),
        (&["bench", "--database-url", "postgres://localhost/"], "needs a RabbitMQ server: --broker-url"),
        (&["bench", "--database-url", "localhost"], "expected postgres://"),
        (
            &["bench", "--database-url", "sqlite:ledger.db", "--broker-url", "amqp://localhost"],
            "a measurement needs PostgreSQL",
        ),
        (
            &["bench", "--database-url", "postgres://localhost/", "--broker-url", "http://localhost"],
            "the broker URL is not valid",
        ),
        (&["worker", "--broker-url", "localhost"], "expected amqp://"),
        (&["coordinator"], "BACKSTITCH_DATABASE_URL"),
        (&["worker"], "BACKSTITCH_BROKER_URL"),
    ];
    for (arguments, message) in cases {
        project.run(arguments).expect(2).says(message);
    }
    assert_eq!(project.json(&["runs", "list"]), serde_json::json!([]));
}

#[test]
fn a_measurement_on_a_server_that_is_not_there_says_which() {
    // Nobody listens on the port of a listener that is gone.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let database = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let ended = Project::new()
        .run(&["bench", "--database-url", &database, "--broker-url", "amqp://127.0.0.1"])
        .expect(1);
    ended.says(&format!("connecting to PostgreSQL at 127.0.0.1:{port}"));
}

#[test]
fn every_problem_of_a_project_is_told_at_once_with_its_place() {
    let project = Project::of("assets:\n  a:\n    deps: [b]\n    comand: [x]\n");
    for command in ["check", "dev"] {
        let ended = project.run(&[command]).expect(2);
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{ended:?}");
        assert!(lines[0].starts_with("backstitch.yaml:3:12: ") && lines[0].contains("\"b\""), "{ended:?}");
        assert!(
            lines[1].starts_with("backstitch.yaml:4:5: ") && lines[1].contains("did you mean"),
            "{ended:?}"
        );
    }
}

#[test]
fn passwords_are_never_shown() {
    let project = Project::new();
    let cases: &[&[&str]] = &[
        &["runs", "list", "--database-url", "redis://me:s3cret@db/ledger"],
        &["coordinator", "--database-url", "postgres://me:s3cret@db:x/ledger", "--broker-url", "amqp://b"],
        &["worker", "--broker-url", "http://me:s3cret@rabbit"],
        &["runs", "list", "--server", "me:s3cret@proxy"],
        &["runs", "list", "--server", "ftp://me:s3cret@proxy"],
        &["runs", "list", "--server", "http://me:s3/cret@127.0.0.1:1"],
        &["runs", "list", "--server", "http://me:s3cret@127.0.0.1:1"],
        &["runs", "list", "--server", &stranger("404 Not Found")],
        &["runs", "list", "--server", &stranger("200 OK")],
    ];
    for arguments in cases {
        let ended = project.run(arguments);
        let shown = ended.stderr.contains("s3cret") || ended.stderr.contains("cret@");
        assert!(!ended.status.success() && !shown, "{ended:?}");
    }
    let help = project
        .command(&["coordinator", "--help"])
        .env("BACKSTITCH_BROKER_URL", "amqp://u:s3cret@b")
        .output();
    assert!(!String::from_utf8_lossy(&help.expect("help").stdout).contains("s3cret"));
    project.write("backstitch.settings.yaml", "database_url: postgres://me:s3cret@db/x\npassword: s3cret\n");
    let ended = project.run(&["runs", "list"]).expect(2).says("backstitch.settings.yaml");
    assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
}

#[test]
fn what_to_type_next_names_the_coordinator_without_the_password_for_its_proxy() {
    let project = Project::new();
    let mut dev = project.start(&["dev", "--listen", "127.0.0.1:0"]);
    let line = dev.line_with("Backstitch runs");
    let url = line.split_whitespace().last().expect("a URL").to_owned();
    let secret = url.replace("http://", "http://me:s3cret@");
    project.write("bad", "2024-01-05\n");
    let hint = format!(" --server {url}");
    for (arguments, status) in [
        (&["backfill", "raw", "--partitions", "2024-01-01"][..], 0),
        (&["backfill", "raw", "--partitions", "2024-01-05", "--watch"], 1),
        (&["runs", "watch", "latest"], 1),
    ] {
        let ended = project.run(&[arguments, &["--server", &secret]].concat()).expect(status).says(&hint);
        assert!(!ended.stdout.contains("s3cret") && !ended.stderr.contains("s3cret"), "{ended:?}");
    }
}

/// A server that is no coordinator: its URL, with a password in it. It answers once.
fn stranger(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        // What it asks for does not matter; all of it fits into one read.
        _ = stream.read(&mut [0; 4096]);
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi").expect("an answer");
    });
    format!("http://me:s3cret@{address}")
}
