-- The ledger. Times are microseconds since the Unix epoch; documents are JSON text; sets of partitions are
-- serialized roaring bitmaps. docs/ledger.md describes every table and index.

-- One row: the current term of leadership, which every commit checks.
CREATE TABLE leadership (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    epoch INTEGER NOT NULL,
    name TEXT NOT NULL,
    api_address TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    held BOOLEAN NOT NULL,
    confirmed_through INTEGER NOT NULL
);
INSERT INTO leadership VALUES (1, 0, '', '', 0, FALSE, 0);

CREATE TABLE assets (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE definitions (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    json TEXT NOT NULL
);

CREATE TABLE runs (
    id BLOB NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL,
    status TEXT NOT NULL,
    paused BOOLEAN NOT NULL DEFAULT FALSE,
    priority INTEGER NOT NULL,
    max_parallel INTEGER,
    created_us INTEGER NOT NULL,
    evaluated_us INTEGER NOT NULL,
    cancel_requested_us INTEGER,
    finished_us INTEGER,
    job TEXT,
    selection TEXT NOT NULL,
    partitions TEXT,
    client_key TEXT,
    tags TEXT NOT NULL,
    config TEXT NOT NULL,
    definitions TEXT NOT NULL,
    traceparent TEXT
);
CREATE UNIQUE INDEX runs_client_key ON runs (client_key) WHERE client_key IS NOT NULL;
CREATE INDEX runs_live ON runs (id) WHERE finished_us IS NULL;

CREATE TABLE run_assets (
    run_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    targets BLOB NOT NULL,
    succeeded INTEGER,
    failed INTEGER,
    skipped INTEGER,
    cancelled INTEGER,
    materialized BLOB,
    PRIMARY KEY (run_id, position)
) WITHOUT ROWID;
CREATE INDEX run_assets_by_asset ON run_assets (asset_id, run_id);

-- The outbox: messages that are about to be published, or on their way. Closed ones are deleted.
CREATE TABLE dispatches (
    id INTEGER NOT NULL PRIMARY KEY,
    run_id BLOB NOT NULL,
    asset_index INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    announce_start BOOLEAN NOT NULL,
    created_us INTEGER NOT NULL,
    ordinals BLOB NOT NULL
);

-- What became of the tasks of live runs. Deleted when the run is finished.
CREATE TABLE progress (
    run_id BLOB NOT NULL,
    asset_index INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    succeeded BLOB NOT NULL,
    failed BLOB NOT NULL,
    cancelled BLOB NOT NULL,
    retried BLOB NOT NULL,
    PRIMARY KEY (run_id, asset_index, segment)
) WITHOUT ROWID;

-- History: every attempt that ended.
CREATE TABLE attempts (
    run_id BLOB NOT NULL,
    asset_index INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    dispatch_id INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    finished_us INTEGER NOT NULL,
    terminal BOOLEAN NOT NULL,
    outcome TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    worker_id BLOB,
    trace_id BLOB,
    code_version TEXT,
    data_version TEXT,
    metadata TEXT,
    checks TEXT,
    failure_kind TEXT,
    failure_code INTEGER,
    failure_retryable BOOLEAN,
    failure_message TEXT,
    failure_detail TEXT,
    output TEXT,
    output_omitted_bytes INTEGER,
    PRIMARY KEY (run_id, asset_index, ordinal, attempt)
) WITHOUT ROWID;
CREATE INDEX attempts_not_succeeded ON attempts (run_id, asset_index, ordinal, attempt) WHERE outcome <> 'succeeded';

-- Where each partition stands.
CREATE TABLE asset_partitions (
    asset_id INTEGER NOT NULL,
    partition_key TEXT NOT NULL,
    run_id BLOB,
    asset_index INTEGER,
    ordinal INTEGER,
    attempt INTEGER,
    started_us INTEGER,
    materialized_us INTEGER,
    trace_id BLOB,
    code_version TEXT,
    data_version TEXT,
    metadata TEXT,
    checks TEXT,
    failed BOOLEAN NOT NULL,
    failed_run_id BLOB,
    failed_attempt INTEGER,
    failed_us INTEGER,
    failure_kind TEXT,
    failure_code INTEGER,
    failure_message TEXT,
    PRIMARY KEY (asset_id, partition_key)
) WITHOUT ROWID;

-- For people: names instead of numbers, times instead of microseconds.
CREATE VIEW materializations AS
SELECT a.name AS asset, p.partition_key AS "partition", strftime('%Y-%m-%dT%H:%M:%fZ', p.materialized_us / 1e6, 'unixepoch') AS materialized_at,
    p.materialized_us / 1e6 - p.started_us / 1e6 AS seconds, lower(hex(p.run_id)) AS run_id, p.attempt, p.metadata, p.checks,
    p.code_version, p.data_version, lower(hex(p.trace_id)) AS trace_id, p.failed AS failed_since
FROM asset_partitions p JOIN assets a ON a.id = p.asset_id
WHERE p.materialized_us IS NOT NULL;

CREATE VIEW attempt_history AS
SELECT lower(hex(t.run_id)) AS run_id, a.name AS asset, t.partition_key AS "partition", t.attempt, t.outcome, t.terminal,
    strftime('%Y-%m-%dT%H:%M:%fZ', t.started_us / 1e6, 'unixepoch') AS started_at, strftime('%Y-%m-%dT%H:%M:%fZ', t.finished_us / 1e6, 'unixepoch') AS finished_at,
    lower(hex(t.worker_id)) AS worker_id, lower(hex(t.trace_id)) AS trace_id, t.metadata, t.failure_kind, t.failure_code, t.failure_message,
    t.output
FROM attempts t JOIN assets a ON a.id = t.asset_id;
