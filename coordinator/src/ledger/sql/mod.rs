//! What both databases understand alike, written once.
//!
//! sqlx can be generic over the database, but the bounds of such a function are longer than its body, and every
//! caller repeats them. So the statements are macros over the database's type, expanded once per dialect here and
//! nowhere else. They keep to the common ground: `$n` parameters, `ON CONFLICT`, integers, text, blobs, UUIDs.

mod answers;
mod audit;
mod bulk;
mod changes;
mod columns;
mod conflict;
mod live;
mod progress;
mod reads;
mod rows;
mod writes;

pub(super) use answers::{AUDIT_STATEMENTS, answer, answers};
pub(super) use columns::{AttemptColumns, FailureColumns, word};
pub(crate) use columns::{LOST_MESSAGE, failure_kind};
pub(super) use conflict::{failed, materialized};

/// The shared statements for Postgres.
pub(super) mod postgres {
    super::writes::writes!(sqlx::Postgres);
    super::progress::progress!(sqlx::Postgres);
    super::changes::changes!(sqlx::Postgres);
    super::live::live!(sqlx::Postgres);
    super::reads::reads!(sqlx::Postgres);
    super::audit::audit!(sqlx::Postgres);
}

/// The shared statements for SQLite.
pub(super) mod sqlite {
    super::writes::writes!(sqlx::Sqlite);
    super::progress::progress!(sqlx::Sqlite);
    super::changes::changes!(sqlx::Sqlite);
    super::live::live!(sqlx::Sqlite);
    super::reads::reads!(sqlx::Sqlite);
    super::audit::audit!(sqlx::Sqlite);
}
