-- The ledger. Times are microseconds since the Unix epoch; documents are JSON text; sets of partitions are
-- serialized roaring bitmaps. docs/ledger.md describes every table and index.

-- One row: the current term of leadership. Every commit locks it FOR SHARE, which writes no new version of it, so
-- that a reader who holds old versions alive for hours does not slow commits down.
CREATE TABLE leadership (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    epoch BIGINT NOT NULL,
    name TEXT NOT NULL,
    api_address TEXT NOT NULL,
    since_us BIGINT NOT NULL
);
INSERT INTO leadership VALUES (1, 0, '', '', 0);

-- At most one row: the sign of life of the leader's session. Apart from `leadership`, because it changes every second.
CREATE TABLE lease (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    epoch BIGINT NOT NULL,
    backend_pid INTEGER NOT NULL,
    renewed_at TIMESTAMPTZ NOT NULL
);

-- One row: how far the broker has confirmed the outbox. Written once a second at most, for the same reason.
CREATE TABLE confirmations (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    through BIGINT NOT NULL
);
INSERT INTO confirmations VALUES (1, 0);

CREATE TABLE assets (
    id INTEGER NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE definitions (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    json TEXT NOT NULL
);

CREATE TABLE runs (
    id UUID NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL,
    status TEXT NOT NULL,
    paused BOOLEAN NOT NULL DEFAULT FALSE,
    priority INTEGER NOT NULL,
    max_parallel BIGINT,
    created_us BIGINT NOT NULL,
    evaluated_us BIGINT NOT NULL,
    cancel_requested_us BIGINT,
    finished_us BIGINT,
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
    run_id UUID NOT NULL,
    position INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    targets BYTEA NOT NULL,
    succeeded BIGINT,
    failed BIGINT,
    skipped BIGINT,
    cancelled BIGINT,
    materialized BYTEA,
    PRIMARY KEY (run_id, position)
);
CREATE INDEX run_assets_by_asset ON run_assets (asset_id, run_id);

-- The outbox: messages that are about to be published, or on their way. Closed ones are deleted.
CREATE TABLE dispatches (
    id BIGINT NOT NULL PRIMARY KEY,
    run_id UUID NOT NULL,
    asset_index INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    announce_start BOOLEAN NOT NULL,
    created_us BIGINT NOT NULL,
    ordinals BYTEA NOT NULL
);

-- What became of the tasks of live runs. Deleted when the run is finished.
CREATE TABLE progress (
    run_id UUID NOT NULL,
    asset_index INTEGER NOT NULL,
    segment BIGINT NOT NULL,
    succeeded BYTEA NOT NULL,
    failed BYTEA NOT NULL,
    cancelled BYTEA NOT NULL,
    retried BYTEA NOT NULL,
    PRIMARY KEY (run_id, asset_index, segment)
);

-- Both turn over all the time while they stay small: a share of their size is no measure of what is dead in them.
ALTER TABLE dispatches SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE progress SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- History: every attempt that ended. Run ids are version 7 UUIDs, so a range of them is a range of submission time;
-- the leader makes the partition of a month when it accepts the first run of it.
CREATE TABLE attempts (
    run_id UUID NOT NULL,
    asset_index INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    dispatch_id BIGINT NOT NULL,
    started_us BIGINT NOT NULL,
    finished_us BIGINT NOT NULL,
    terminal BOOLEAN NOT NULL,
    outcome TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    worker_id UUID,
    trace_id BYTEA,
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
    output_omitted_bytes BIGINT,
    PRIMARY KEY (run_id, asset_index, ordinal, attempt)
) PARTITION BY RANGE (run_id);
CREATE INDEX attempts_not_succeeded ON attempts (run_id, asset_index, ordinal, attempt) WHERE outcome <> 'succeeded';

-- Where each partition stands.
CREATE TABLE asset_partitions (
    asset_id INTEGER NOT NULL,
    partition_key TEXT COLLATE "C" NOT NULL,
    run_id UUID,
    asset_index INTEGER,
    ordinal INTEGER,
    attempt INTEGER,
    started_us BIGINT,
    materialized_us BIGINT,
    trace_id BYTEA,
    code_version TEXT,
    data_version TEXT,
    metadata TEXT,
    checks TEXT,
    failed BOOLEAN NOT NULL,
    failed_run_id UUID,
    failed_attempt INTEGER,
    failed_us BIGINT,
    failure_kind TEXT,
    failure_code INTEGER,
    failure_message TEXT,
    PRIMARY KEY (asset_id, partition_key)
) WITH (fillfactor = 90); -- room for the next version of a row on its page, so that no index entry is written

-- For people: names instead of numbers, times instead of microseconds, JSON instead of text.
-- NULL where a worker's clock told a time that no calendar has: one such row must not spoil a view.
CREATE FUNCTION from_us(us BIGINT) RETURNS TIMESTAMPTZ LANGUAGE SQL IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(us / 1000000) < 253402300800 THEN TIMESTAMPTZ '1970-01-01 00:00:00+00' + us * INTERVAL '1 microsecond' END;

CREATE VIEW materializations AS
SELECT a.name AS asset, p.partition_key AS partition, from_us(p.materialized_us) AS materialized_at,
    (p.materialized_us / 1e6 - p.started_us / 1e6)::FLOAT AS seconds, p.run_id, p.attempt, p.metadata::JSON AS metadata,
    p.checks::JSON AS checks, p.code_version, p.data_version, encode(p.trace_id, 'hex') AS trace_id,
    p.failed AS failed_since
FROM asset_partitions p JOIN assets a ON a.id = p.asset_id
WHERE p.materialized_us IS NOT NULL;

CREATE VIEW attempt_history AS
SELECT t.run_id, a.name AS asset, t.partition_key AS partition, t.attempt, t.outcome, t.terminal,
    from_us(t.started_us) AS started_at, from_us(t.finished_us) AS finished_at, t.worker_id,
    encode(t.trace_id, 'hex') AS trace_id, t.metadata::JSON AS metadata, t.failure_kind, t.failure_code,
    t.failure_message, t.output
FROM attempts t JOIN assets a ON a.id = t.asset_id;
