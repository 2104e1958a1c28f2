//! Projects that are right: read, put in order, pinned.

use crate::definition::{Asset, Definitions, Dep, Job, Project};

const PIPELINE: &str = "\
assets:
  # In any order.
  report: {deps: [clean, prices]}
  clean:
    deps: [raw]
    command: [make, --version, 1.10, yes, 0x1F]
    code_version: 1.10
    tags: {weekend: no, year: 2010}
    env: {PORT: 5432, EMPTY: ''}
  raw:
  prices: {group: sources}
jobs:
  all_of_it: {select: '*'}
pools: {}
";

fn pipeline() -> Definitions {
    Definitions::from_yaml("backstitch.yaml", PIPELINE).unwrap()
}

#[test]
fn upstreams_come_before_downstreams() {
    let definitions = pipeline();
    let order: Vec<&str> = definitions.topological().iter().map(|name| name.as_str()).collect();
    assert_eq!(order, ["prices", "raw", "clean", "report"]);
    let upstreams: Vec<&str> = definitions.upstreams("report").map(|edge| edge.upstream.as_str()).collect();
    assert_eq!(upstreams, ["clean", "prices"]);
    let downstreams: Vec<&str> =
        definitions.downstreams("raw").map(|edge| edge.downstream.as_str()).collect();
    assert_eq!(downstreams, ["clean"]);
    assert_eq!(definitions.upstreams("raw").count(), 0);
    assert_eq!(definitions.asset("nowhere"), None);
}

#[test]
fn texts_keep_their_spelling_without_quotes() {
    let definitions = pipeline();
    let clean = definitions.asset("clean").unwrap();
    assert_eq!(clean.command.as_deref().unwrap(), ["make", "--version", "1.10", "yes", "0x1F"]);
    assert_eq!(clean.code_version.as_deref(), Some("1.10"));
    assert_eq!(clean.tags["weekend"], "no");
    assert_eq!(clean.tags["year"], "2010");
    assert_eq!(clean.env["PORT"], "5432");
    assert_eq!(clean.env["EMPTY"], "");
}

#[test]
fn an_asset_with_nothing_to_say_has_every_default() {
    let raw = pipeline().asset("raw").unwrap().clone();
    assert_eq!(raw, Asset::default());
    assert_eq!(raw.queue.as_str(), "default");
    assert_eq!(raw.grace.get().as_secs(), 10);
    assert_eq!(raw.batch_size.get(), 1);
    assert_eq!(raw.retries.max_retries, 0);
}

#[test]
fn an_empty_file_is_an_empty_project() {
    for text in ["", "# nothing yet\n", "assets:\n", "{}"] {
        let definitions = Definitions::from_yaml("backstitch.yaml", text).unwrap();
        assert_eq!(*definitions.project(), Project::default(), "{text:?}");
    }
}

#[test]
fn the_same_project_in_rust_gives_the_same_definitions() {
    let dep = |name: &str| Dep::on(name.parse().unwrap());
    let clean = Asset {
        deps: vec![dep("raw")],
        command: Some(["make", "--version", "1.10", "yes", "0x1F"].map(str::to_owned).to_vec()),
        code_version: Some("1.10".to_owned()),
        tags: [("weekend", "no"), ("year", "2010")].map(|(key, tag)| (key.to_owned(), tag.to_owned())).into(),
        env: [("PORT", "5432"), ("EMPTY", "")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Asset::default()
    };
    let built = Definitions::builder()
        .asset("raw", Asset::default())
        .asset("prices", Asset { group: Some("sources".parse().unwrap()), ..Asset::default() })
        .asset("clean", clean)
        .asset("report", Asset { deps: vec![dep("clean"), dep("prices")], ..Asset::default() })
        .job(
            "all_of_it",
            Job { select: "*".to_owned(), description: None, config: [].into(), tags: [].into() },
        )
        .build()
        .unwrap();
    assert_eq!(built, pipeline());
    assert_eq!(built.fingerprint(), pipeline().fingerprint());
}

#[test]
fn problems_of_a_project_in_rust_name_what_they_are_about() {
    let problems = Definitions::builder()
        .asset("1st", Asset::default())
        .asset("a", Asset::default())
        .asset("a", Asset::default())
        .build()
        .unwrap_err();
    assert_eq!(
        problems.to_string(),
        "asset name \"1st\" must start with a letter or `_` and have only letters, digits and `_ . / -` (found '1')\n\
         asset \"a\" is defined twice"
    );
    let asset = Asset { deps: vec![Dep::on("daly".parse().unwrap())], ..Asset::default() };
    let problems =
        Definitions::builder().asset("daily", Asset::default()).asset("report", asset).build().unwrap_err();
    assert_eq!(
        problems.to_string(),
        "asset \"report\" depends on \"daly\", which is not defined (did you mean \"daily\"?)"
    );
}

#[test]
fn a_job_that_is_not_defined_is_told_with_the_nearest_name() {
    let text = "assets: {a: {}}\njobs: {nightly: {select: a}}";
    let definitions = Definitions::from_yaml("backstitch.yaml", text).unwrap();
    for (name, hint) in [("nightlyy", " (did you mean \"nightly\"?)"), ("weekly report", "")] {
        assert_eq!(definitions.job_not_defined(name), format!("job \"{name}\" is not defined{hint}"));
    }
}

#[test]
fn pinned_definitions_read_back_the_same_with_their_mappings_written_out() {
    let definitions = pipeline();
    let pinned = serde_json::to_string(&definitions).unwrap();
    assert!(pinned.contains("\"mapping\""), "{pinned}");
    let read: Definitions = serde_json::from_str(&pinned).unwrap();
    assert_eq!(read, definitions);
    assert_eq!(read.fingerprint(), definitions.fingerprint());
}

#[test]
fn the_fingerprint_sees_changes_and_not_the_order_of_the_file() {
    let swapped = "assets: {b: {deps: [a]}, a: {}}";
    let same = "assets:\n  a:\n  b:\n    deps: [{asset: a}]\n";
    let other = "assets: {b: {deps: [a]}, a: {priority: 1}}";
    let fingerprint = |text| Definitions::from_yaml("backstitch.yaml", text).unwrap().fingerprint();
    assert_eq!(fingerprint(swapped), fingerprint(same));
    assert_ne!(fingerprint(swapped), fingerprint(other));
    assert_eq!(fingerprint(same).len(), 64);
}

#[test]
fn pinned_json_with_something_unknown_in_it_is_refused() {
    let error = serde_json::from_str::<Definitions>(r#"{"assets": {"a": {"coman": []}}}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `coman`"), "{error}");
    let error = serde_json::from_str::<Definitions>(r#"{"assets": {"a": {"deps": ["b"]}}}"#).unwrap_err();
    assert!(error.to_string().contains("depends on \"b\", which is not defined"), "{error}");
}

#[test]
fn anchors_and_merge_keys_share_parts() {
    let text = "\
assets:
  a: &base
    command: [make]
    retries: &retries {max_retries: 3}
  b:
    <<: *base
    priority: 2
  c: {retries: *retries}
";
    let definitions = Definitions::from_yaml("backstitch.yaml", text).unwrap();
    let b = definitions.asset("b").unwrap();
    assert_eq!((b.retries.max_retries, b.priority), (3, 2));
    assert_eq!(b.command.as_deref().unwrap(), ["make"]);
    assert_eq!(definitions.asset("c").unwrap().retries.max_retries, 3);
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/backstitch.schema.json");
    let wanted = format!("{:#}\n", crate::definition::json_schema());
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == wanted,
        "docs/backstitch.schema.json is out of date: write `backstitch schema` to it"
    );
}

/// A file of the repository, from its root.
fn repository_file(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"))
}

#[test]
fn the_example_in_the_reference_is_right() {
    let reference = repository_file("docs/project-file.md");
    let (_, from_block) = reference.split_once("```yaml\n").unwrap();
    let (example, _) = from_block.split_once("```").unwrap();
    let definitions =
        Definitions::from_yaml("project-file.md", example).unwrap_or_else(|said| panic!("{said}"));
    assert_eq!(definitions.topological().len(), 3);
    assert_eq!(definitions.upstreams("balance").count(), 2);
    assert_eq!(definitions.asset("orders").unwrap().retries.max_retries, 3);
}

#[test]
fn the_weather_example_is_right() {
    let text = repository_file("examples/weather/backstitch.yaml");
    let definitions =
        Definitions::from_yaml("backstitch.yaml", &text).unwrap_or_else(|said| panic!("{said}"));
    let order: Vec<&str> = definitions.topological().iter().map(|name| name.as_str()).collect();
    assert_eq!(order, ["readings", "daily_summary", "monthly_report", "city_comparison"]);
}
