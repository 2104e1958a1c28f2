//! Where settings come from.

use crate::project::Project;

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let project = Project::new();
    let place = |flag: Option<&str>, environment: Option<&str>| {
        let mut arguments = vec!["runs", "list"];
        arguments.extend(flag.map(|flag| ["--database-url", flag]).into_iter().flatten());
        let mut command = project.command(&arguments);
        if let Some(url) = environment {
            command.env("BACKSTITCH_DATABASE_URL", url);
        }
        let output = command.output().expect("the program");
        String::from_utf8(output.stderr).expect("text")
    };
    // None of these exists, so the error names the one that was looked at.
    project.write("backstitch.settings.yaml", "database_url: sqlite:of-file.db\n");
    assert!(place(Some("sqlite:of-flag.db"), Some("sqlite:of-environment.db")).contains("of-flag.db"));
    assert!(place(None, Some("sqlite:of-environment.db")).contains("of-environment.db"));
    assert!(place(None, None).contains("of-file.db"));
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
        elsewhere.run(&["check", "--project", &path]).expect(0).says("3 assets, 1 job");
    }
    elsewhere.run(&["backfill", "raw", "--project", &folder]).expect(0);
    assert!(project.path().join(".backstitch/ledger.db").exists());
}
