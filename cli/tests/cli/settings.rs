//! Where settings come from.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::project::Project;

/// A setting, and how to see which of its values counts.
struct Setting {
    /// A command that shows it.
    command: &'static [&'static str],
    flag: &'static str,
    environment: &'static str,
    /// What the line that it prints has before and behind the value.
    shown: (&'static str, &'static str),
    /// By flag, by environment, by file.
    values: [&'static str; 3],
}

/// Services whose servers are not there: they say with what they start, and wait.
const WORKER: &[&str] = &["worker", "--broker-url", "amqp://127.0.0.1:1"];
const COORDINATOR: &[&str] =
    &["coordinator", "--broker-url", "amqp://127.0.0.1:1", "--database-url", "postgres://127.0.0.1:1/x"];

/// In the file, the name is that of the flag. Only the project itself has no place there: the file is beside it.
const SETTINGS: &[Setting] = &[
    Setting {
        command: &["runs", "list"],
        flag: "--server",
        environment: "BACKSTITCH_SERVER",
        shown: ("coordinator at ", " does not answer"),
        values: ["http://127.0.0.2:1", "http://127.0.0.3:1", "http://127.0.0.4:1"],
    },
    Setting {
        command: &["runs", "list"],
        flag: "--database-url",
        environment: "BACKSTITCH_DATABASE_URL",
        shown: ("", ""),
        values: ["sqlite:flag.db", "sqlite:environment.db", "sqlite:file.db"],
    },
    Setting {
        command: &["worker"],
        flag: "--broker-url",
        environment: "BACKSTITCH_BROKER_URL",
        shown: (" broker=\"", "\""),
        values: ["amqp://127.0.0.2:1", "amqp://127.0.0.3:1", "amqp://127.0.0.4:1"],
    },
    Setting {
        command: &["runs", "list"],
        flag: "--state-dir",
        environment: "BACKSTITCH_STATE_DIR",
        shown: ("", "/ledger.db"),
        // Folders in a file, which nobody can make.
        values: ["bin/raw.sh/flag", "bin/raw.sh/environment", "bin/raw.sh/file"],
    },
    Setting {
        command: COORDINATOR,
        flag: "--listen",
        environment: "BACKSTITCH_LISTEN",
        shown: (" listen=", " "),
        values: ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"],
    },
    Setting {
        command: COORDINATOR,
        flag: "--advertise",
        environment: "BACKSTITCH_ADVERTISE",
        shown: (" advertise=\"", "\""),
        values: ["http://flag", "http://environment", "http://file"],
    },
    Setting {
        command: COORDINATOR,
        flag: "--name",
        environment: "BACKSTITCH_NAME",
        shown: (" name=\"", "\""),
        values: ["flag", "environment", "file"],
    },
    Setting {
        command: COORDINATOR,
        flag: "--tasks-per-message",
        environment: "BACKSTITCH_TASKS_PER_MESSAGE",
        shown: (" tasks_per_message=", ""),
        values: ["2", "3", "4"],
    },
    Setting {
        command: COORDINATOR,
        flag: "--keep-history",
        environment: "BACKSTITCH_KEEP_HISTORY",
        shown: (" keep_history_days=", ""),
        values: ["32", "33", "34"],
    },
    Setting {
        command: WORKER,
        flag: "--name",
        environment: "BACKSTITCH_NAME",
        shown: (" name=\"", "\""),
        values: ["flag", "environment", "file"],
    },
    Setting {
        command: WORKER,
        flag: "--slots",
        environment: "BACKSTITCH_SLOTS",
        shown: (" slots=", " "),
        values: ["22", "33", "44"],
    },
    Setting {
        command: WORKER,
        flag: "--queues",
        environment: "BACKSTITCH_QUEUES",
        shown: (" queues=\"", "\""),
        values: ["flag,more", "environment", "[file]"],
    },
    Setting {
        command: WORKER,
        flag: "--drain-grace",
        environment: "BACKSTITCH_DRAIN_GRACE",
        shown: (" drain_grace=", "s"),
        values: ["32s", "33s", "34s"],
    },
];

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file_for_every_setting() {
    let project = Project::new();
    for Setting { command, flag, environment, shown, values } in SETTINGS {
        let key = flag.trim_start_matches("--").replace('-', "_");
        project.write("backstitch.settings.yaml", &format!("{key}: {}\n", values[2]));
        for (level, value) in values.iter().enumerate() {
            let mut arguments = command.to_vec();
            if level == 0 {
                arguments.extend([*flag, value]);
            }
            let mut command = project.command(&arguments);
            // A variable that is set to nothing is not set.
            command.env(environment, if level <= 1 { values[1] } else { "" });
            let said = first_words(command);
            let value = value.trim_matches(['[', ']']).trim_end_matches('s');
            let expected = format!("{}{value}{}", shown.0, shown.1);
            assert!(said.contains(&expected), "{flag}, level {level}: no {expected:?} in {said}");
        }
    }
}

#[test]
fn a_variable_that_cannot_be_read_is_told_with_its_name_and_what_is_wrong_with_it() {
    let project = Project::new();
    for (command, variable, value, problem) in [
        (WORKER, "BACKSTITCH_SLOTS", "0", "zero"),
        (WORKER, "BACKSTITCH_QUEUES", "heavy,", "empty"),
        (WORKER, "BACKSTITCH_DRAIN_GRACE", "30", "did you mean \"30s\"?"),
        (COORDINATOR, "BACKSTITCH_LISTEN", "here", "socket address"),
        (COORDINATOR, "BACKSTITCH_KEEP_HISTORY", "long", "invalid digit"),
        (COORDINATOR, "BACKSTITCH_TASKS_PER_MESSAGE", "1001", "expected a number from 1 to 1000"),
    ] {
        let ended = project.command(command).env(variable, value).output().expect("the program");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("{variable} is \"{value}\": ")) && said.contains(problem), "{said}");
    }
}

#[test]
fn what_does_not_belong_into_the_settings_file_is_told_with_its_place_and_what_would() {
    let project = Project::new();
    for (text, place) in [
        ("slots: 0\n", "yaml:1:"),
        ("name: x\ntasks_per_message: 1001\n", "yaml:2:"),
        ("queues: heavy\n", "yaml:1:"),
        ("queues: [heavy, a b]\n", "yaml:1:"),
        ("drain_grace: 30\n", "yaml:1:"),
        ("listen: here\n", "yaml:1:"),
        ("slot: 2\n", "yaml:1:"),
    ] {
        project.write("backstitch.settings.yaml", text);
        project.run(&["runs", "list"]).expect(2).says(place).says("a list of names for queues");
    }
}

/// What a command says on standard error until it ends, or until a service says that it starts; then it is killed.
fn first_words(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program");
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok) {
        let starts = line.contains(" starts ");
        said.push_str(&line);
        said.push('\n');
        if starts {
            break;
        }
    }
    // One that has ended cannot be killed, and need not.
    _ = child.kill();
    child.wait().expect("its end");
    said
}

#[test]
fn a_backfill_goes_to_whoever_leads_on_the_ledger_that_is_named_and_never_beside_it() {
    let (leading, asking) = (Project::new(), Project::new());
    let mut dev = leading.start(&["dev", "--listen", "127.0.0.1:0"]);
    let line = dev.line_with("Backstitch runs");
    let url = line.split_whitespace().last().expect("a URL").to_owned();
    let ledger = format!("sqlite:{}", leading.path().join(".backstitch/ledger.db").display());
    asking.write("backstitch.settings.yaml", &format!("database_url: {ledger}\n"));
    asking
        .run(&["backfill", "raw", "--watch"])
        .expect(0)
        .says(&format!("Handing it to the coordinator at {url}, which leads on {ledger}"))
        .says("All 10 tasks succeeded");
    asking.run(&["backfill", "sum"]).expect(0).says(&format!(" --server {url}"));
    assert_eq!(asking.json(&["runs", "list"]).as_array().map(Vec::len), Some(2));

    dev.signal(Signal::SIGTERM);
    dev.end().expect(0);
    asking.run(&["backfill", "raw"]).expect(1).says("no coordinator leads on").says("unset what names");
    asking
        .run(&["backfill", "raw", "--database-url", "sqlite:nowhere.db"])
        .expect(1)
        .says("nowhere.db")
        .says("unset what names");
    assert!(!asking.path().join(".backstitch").exists(), "a ledger that no listing shows");
    // A folder of state that is named is the ledger that is meant.
    asking.run(&["backfill", "raw", "--state-dir", "own"]).expect(0).says("All 10 tasks succeeded");
}

#[test]
fn the_ledger_of_a_project_may_be_elsewhere() {
    let project = Project::new();
    project.run(&["backfill", "raw", "--state-dir", "elsewhere"]).expect(0);
    assert!(
        project.path().join("elsewhere/ledger.db").exists() && !project.path().join(".backstitch").exists()
    );
    let made = project.json(&["materializations", "raw", "--state-dir", "elsewhere"]);
    assert_eq!(made.as_array().map(Vec::len), Some(10));
}

#[test]
fn a_project_is_found_by_its_folder_or_by_its_file() {
    let project = Project::new();
    let folder = project.path().to_str().expect("text").to_owned();
    let elsewhere = Project::new();
    for path in [folder.clone(), format!("{folder}/backstitch.yaml")] {
        elsewhere.run(&["check", "--project", &path]).expect(0).says("3 assets, 2 jobs");
    }
    elsewhere.run(&["backfill", "raw", "--project", &folder]).expect(0);
    assert!(project.path().join(".backstitch/ledger.db").exists());
}
