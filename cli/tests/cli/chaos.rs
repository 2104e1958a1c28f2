//! Simulated histories from the command line.

use crate::project::Project;

#[test]
fn the_same_seed_is_the_same_history_byte_for_byte() {
    let project = Project::new();
    let trace = |seed: &str| {
        let told = project.run(&["chaos", "--seeds", "1", "--seed", seed]).expect(0).stdout;
        // All but the last line, which says how long it took.
        let (trace, counts) = told.trim_end().rsplit_once('\n').expect("a trace and counts");
        assert!(counts.contains("1 seed,") && counts.contains("all invariants hold"), "{counts}");
        trace.to_owned()
    };
    let first = trace("7");
    assert!(first.contains("ms  run 1 is submitted") && first.contains("the faults stop"), "{first}");
    assert_eq!(first, trace("7"));
    assert_ne!(first, trace("8"));
}

#[test]
fn histories_are_counted_for_programs() {
    let project = Project::new();
    let report = project.json(&["chaos", "--seeds", "3", "--seed", "40"]);
    assert_eq!(report["first_seed"], 40, "{report}");
    assert_eq!(report["seeds"], 3, "{report}");
    assert!(report["failed_seed"].is_null() && report["seeds_per_second"].as_f64() > Some(0.0), "{report}");
    project.run(&["chaos", "--seeds", "0"]).expect(2);
    // A seed that nobody chose is printed, so that it can be played again.
    let told = project.run(&["chaos", "--seeds", "1"]).expect(0);
    assert!(told.stderr.contains("seeds from "), "{}", told.stderr);
}
