//! What is answered when nothing is wrong.

use axum::http::header;
use serde_json::{Value, json};

use crate::world::{ADDRESS, World};

/// All rows of a listing, page by page.
async fn pages(world: &World, path: &str, limit: u32) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("{path}limit={limit}{cursor}")).await;
        let items = page["items"].as_array().expect("rows");
        assert!(items.len() <= limit as usize, "{page}");
        rows.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn texts<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[field].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn supervisors_and_scrapers_learn_whether_it_lives_whether_it_leads_and_what_it_counts() {
    let world = World::start().await;
    assert_eq!(world.ask("GET", "/healthz").await.expect(200).text, "ok\n");
    let ready = world.get("/readyz").await;
    assert_eq!(ready["role"], "leader", "{ready}");
    assert_eq!((&ready["leader"], &ready["broker"]), (&json!(ADDRESS), &json!("connected")), "{ready}");
    assert!(ready["zone_database"].as_str().is_some_and(|version| !version.is_empty()), "{ready}");
    let leader = world.get("/api/leader").await;
    assert_eq!((&leader["url"], &leader["epoch"]), (&json!(ADDRESS), &ready["epoch"]), "{leader}");
    assert_eq!(leader["here"], true, "{leader}");
    let metrics = world.ask("GET", "/metrics").await.expect(200);
    assert!(metrics.header(header::CONTENT_TYPE).starts_with("text/plain; version=0.0.4"), "{metrics:?}");
    assert!(metrics.text.contains("\nthings_total 1\n"), "{metrics:?}");
    assert_eq!(world.get("/api/violations").await, json!([]));
    world.end().await;
}

#[tokio::test]
async fn a_submission_with_a_client_key_that_is_known_is_the_same_run() {
    let world = World::start().await;
    let submission = json!({ "assets": "raw", "partitions": "2024-01-01", "client_key": "morning" });
    let plan = world.ask_with("POST", "/api/runs/plan", &submission).await.expect(200).json();
    assert_eq!(plan["tasks"], 1, "{plan}");
    assert_eq!(world.get("/api/runs").await["items"], json!([]), "a plan starts nothing");

    let first = world.ask_with("POST", "/api/runs", &submission).await.expect(201).json();
    let again = world.ask_with("POST", "/api/runs", &submission).await.expect(200).json();
    assert_eq!((&again["run"], &again["existing"]), (&first["run"], &json!(true)), "{again}");
    world.until_status(first["run"].as_str().expect("a run"), "succeeded").await;

    // Under another key it is another submission, and nothing is missing any more.
    let later = json!({ "assets": "raw", "partitions": "2024-01-01", "client_key": "evening" });
    let nothing = world.ask_with("POST", "/api/runs", &later).await.expect(200).json();
    assert_eq!((&nothing["run"], &nothing["existing"]), (&Value::Null, &json!(false)), "{nothing}");
    assert_eq!(world.get("/api/runs").await["items"].as_array().map(Vec::len), Some(1));
    world.end().await;
}

#[tokio::test]
async fn runs_are_listed_newest_first_in_pages_and_shown_with_their_attempts() {
    let world = World::start().await;
    let mut runs = Vec::new();
    for (partitions, status) in [("2024-01-01...2024-01-04", "succeeded"), ("2024-01-05", "failed")] {
        let run = world.submit(&json!({ "assets": "raw, sum", "partitions": partitions })).await;
        world.until_status(&run, status).await;
        runs.insert(0, run);
    }
    let listed = pages(&world, "/api/runs?", 1).await;
    assert_eq!(texts(&listed, "id"), runs);
    // A list does not read what its runs targeted; it tells the same of them.
    for (run, targeted) in listed.iter().zip([2, 8]) {
        assert_eq!(run["counts"]["targeted"], targeted, "{run}");
        assert_eq!(*run, world.get(&format!("/api/runs/{}", run["id"].as_str().expect("an id"))).await);
    }
    assert_eq!(texts(&pages(&world, "/api/runs?status=failed&", 9).await, "id"), runs[..1]);
    assert_eq!(texts(&pages(&world, "/api/runs?asset=held&", 9).await, "id"), [""; 0]);

    let counts = &world.get(&format!("/api/runs/{}", runs[0])).await["counts"];
    assert_eq!((&counts["failed"], &counts["skipped"]), (&json!(1), &json!(1)), "{counts}");
    let failed = pages(&world, &format!("/api/runs/{}/attempts?failed=true&", runs[0]), 9).await;
    assert_eq!((texts(&failed, "asset"), texts(&failed, "partition")), (vec!["raw"], vec!["2024-01-05"]));
    assert_eq!(texts(&failed, "failure_message"), ["no data"]);
    assert_eq!(texts(&failed, "failure_kind"), ["error"]);

    let attempts = pages(&world, &format!("/api/runs/{}/attempts?", runs[1]), 3).await;
    assert_eq!(texts(&attempts, "outcome"), ["succeeded"; 8]);
    let of_sum = pages(&world, &format!("/api/runs/{}/attempts?asset=sum&", runs[1]), 3).await;
    assert_eq!(texts(&of_sum, "partition"), ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]);
    for (filter, assets) in [
        ("partition=2024-01-03", &["raw", "sum"][..]),
        ("partition=2024-01-03&asset=sum", &["sum"]),
        ("partition=2024-01-09", &[]),
        ("partition=no+day", &[]),
    ] {
        let found = pages(&world, &format!("/api/runs/{}/attempts?{filter}&", runs[1]), 1).await;
        assert_eq!(texts(&found, "asset"), assets, "{filter}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_live_run_is_paused_resumed_moved_throttled_and_cancelled_and_an_ended_one_retried() {
    let world = World::start().await;
    let run = world.submit(&json!({ "assets": "held" })).await;
    let path = format!("/api/runs/{run}");
    for (change, field, value) in [
        (json!({ "paused": true }), "status", json!("paused")),
        (json!({ "paused": false }), "status", json!("running")),
        (json!({ "priority": 7 }), "priority", json!(7)),
        (json!({ "max_parallel": 3 }), "max_parallel", json!(3)),
        (json!({ "max_parallel": 0 }), "max_parallel", Value::Null),
    ] {
        assert_eq!(world.ask_with("PATCH", &path, &change).await.expect(204).text, "");
        assert_eq!(world.get(&path).await[field], value, "{change}");
    }
    world.ask("POST", &format!("{path}/cancel")).await.expect(202);
    world.until_status(&run, "cancelled").await;
    let again = world.ask("POST", &format!("{path}/retry")).await.expect(201).json();
    assert!(again["run"].is_string() && again["run"] != run.as_str(), "{again}");
    assert_eq!(again["plan"]["tasks"], 1, "{again}");
    world.end().await;
}

#[tokio::test]
async fn partitions_are_ranges_of_the_same_state_and_materializations_the_latest_of_each() {
    let world = World::start().await;
    let run = world.submit(&json!({ "assets": "raw, sum" })).await;
    world.until_status(&run, "failed").await;

    let assets = world.get("/api/assets").await;
    let assets = assets.as_array().expect("assets");
    assert_eq!(assets.len(), 3);
    let raw = assets.iter().find(|asset| asset["asset"] == "raw").expect("an asset");
    assert_eq!((&raw["description"], &raw["group"]), (&json!("What came in."), &json!("inputs")));
    assert_eq!((&raw["counts"]["materialized"], &raw["counts"]["failed"]), (&json!(9), &json!(1)), "{raw}");

    let mut ranges = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("/api/assets/raw/partitions?limit=1{cursor}")).await;
        ranges.extend(page["ranges"].as_array().expect("ranges").clone());
        match page["next"].as_u64() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(texts(&ranges, "status"), ["materialized", "failed", "materialized"]);
    assert_eq!(texts(&ranges, "start"), ["2024-01-01", "2024-01-05", "2024-01-06"]);
    assert_eq!(texts(&ranges, "end"), ["2024-01-04", "2024-01-05", "2024-01-10"]);

    let made = pages(&world, "/api/materializations?asset=raw&", 4).await;
    assert_eq!(made.len(), 9);
    assert!(
        made.iter().all(|made| made["metadata"]["rows"] == 24 && made["run"] == run.as_str()),
        "{made:?}"
    );
    let one = pages(&world, "/api/materializations?asset=raw&partition=2024-01-02&", 4).await;
    assert_eq!(texts(&one, "partition"), ["2024-01-02"]);
    world.end().await;
}

#[tokio::test]
async fn a_worker_that_lives_is_listed() {
    let world = World::start().await;
    let workers = world.until("a worker", async || {
        let workers = world.get("/api/workers").await;
        (workers.as_array()?.len() == 1).then_some(workers)
    });
    let worker = &workers.await[0];
    assert_eq!((&worker["name"], &worker["slots"]), (&json!("worker-1"), &json!(3)), "{worker}");
    assert_eq!((&worker["queues"], &worker["draining"]), (&json!(["default"]), &json!(false)), "{worker}");
    world.end().await;
}
