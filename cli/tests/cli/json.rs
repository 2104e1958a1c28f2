//! What programs read.

use serde_json::{Value, json};

use crate::project::Project;

#[test]
fn every_listing_has_json_of_the_same_shape() {
    let project = Project::new();
    project.write("bad", "2024-01-05\n");
    project.run(&["backfill", "raw", "sum"]).expect(1);

    let made = project.json(&["materializations", "raw"]);
    assert_eq!(made.as_array().map(Vec::len), Some(9), "{made}");
    let first = &made[0];
    let expected = json!(["raw", "2024-01-01", { "day": "2024-01-01" }]);
    assert_eq!(json!([first["asset"], first["partition"], first["metadata"]]), expected);

    let ranges = project.json(&["partitions", "list", "raw"]);
    let said = |range: &Value| json!([range["start"], range["end"], range["count"], range["status"]]);
    let ranges: Vec<Value> = ranges.as_array().into_iter().flatten().map(said).collect();
    assert_eq!(
        ranges,
        [
            json!(["2024-01-01", "2024-01-04", 4, "materialized"]),
            json!(["2024-01-05", "2024-01-05", 1, "failed"]),
            json!(["2024-01-06", "2024-01-10", 5, "materialized"]),
        ]
    );
    let keys = project.json(&["partitions", "list", "raw", "--keys"]);
    assert_eq!(keys[4], json!({ "asset": "raw", "partition": "2024-01-05", "status": "failed" }));

    let assets = project.json(&["assets", "list"]);
    let counts: Vec<Value> =
        assets.as_array().into_iter().flatten().map(|asset| asset["counts"].clone()).collect();
    let raw = json!({ "total": 10, "materialized": 9, "failed": 1, "in_progress": 0, "missing": 0 });
    assert!(counts.contains(&raw), "{assets}");

    let shown = project.json(&["runs", "show", "latest"]);
    assert_eq!(shown["failures"][0]["partition"], "2024-01-05", "{shown}");
    let attempts = project.json(&["runs", "show", "latest", "--attempts"]);
    assert_eq!(attempts["attempts"].as_array().map(Vec::len), Some(19), "{attempts}");
    assert_eq!(project.json(&["workers", "list"]), json!([]));
    assert_eq!(project.json(&["verify"])["ledger"]["findings"], json!([]));
}

#[test]
fn lists_longer_than_a_page_are_whole() {
    let keys: Vec<String> = (0..1_203).map(|n| format!("k{n}")).collect();
    let yaml = format!(
        "assets:\n  many:\n    partitions: {{ kind: static, keys: [{}] }}\n    command: [\"true\"]\n    batch_size: 1000\n",
        keys.join(", ")
    );
    let project = Project::of(&yaml);
    project.run(&["backfill", "many"]).expect(0);
    let made = project.json(&["materializations", "many"]);
    let mut found: Vec<&str> =
        made.as_array().into_iter().flatten().filter_map(|made| made["partition"].as_str()).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 1_203);
}

#[test]
fn the_schema_is_json_and_a_dry_run_of_migrations_is_sql() {
    let project = Project::new();
    let schema: Value = serde_json::from_str(&project.run(&["schema"]).expect(0).stdout).expect("JSON");
    assert!(schema["properties"]["assets"].is_object(), "{schema}");
    let dry = project.run(&["migrate", "--dry-run"]).expect(0).says("CREATE TABLE");
    assert!(!project.path().join(".backstitch").exists(), "{dry:?}");
    project.run(&["migrate"]).expect(0).says("applied 0001");
    project.run(&["migrate", "--dry-run"]).expect(0).says("nothing is pending");
}
