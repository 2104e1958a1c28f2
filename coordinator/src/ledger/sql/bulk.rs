//! How many rows a statement takes.
//!
//! A run has up to 65,536 assets, and a statement for each of them would be a round trip each: in one transaction that
//! takes longer than a commit may. So rows go in bulk, as `VALUES` lists, which both databases have.

use std::iter;

/// Rows of one statement at most. SQLite takes 32,766 parameters and Postgres 65,535; larger statements are not faster.
const ROWS_MAX: usize = 256;

/// Bytes of one statement, about: it is in memory twice, here and in the server.
const BYTES_MAX: usize = 8 << 20;

/// Cuts rows into statements that keep to both limits; a row that is over the limit by itself is a statement.
///
/// The number of rows of each is a power of two: the text of a statement depends on it, and so there are few texts to
/// prepare, which a connection remembers.
pub(super) fn statements<T>(mut rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    iter::from_fn(move || {
        let mut sum = 0;
        let fits = |row: &T| {
            sum += bytes(row);
            sum <= BYTES_MAX
        };
        let fitting = rows.iter().take(ROWS_MAX).map(fits).take_while(|fits| *fits).count();
        let power_of_two = 1 << fitting.max(1).ilog2();
        let (statement, rest) = rows.split_at(rows.len().min(power_of_two));
        rows = rest;
        (!statement.is_empty()).then_some(statement)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(rows: &[usize]) -> Vec<usize> {
        let cut: Vec<&[usize]> = statements(rows, |bytes| *bytes).collect();
        assert_eq!(cut.concat(), rows, "every row once, in order");
        cut.iter().map(|rows| rows.len()).collect()
    }

    #[test]
    fn statements_have_few_different_lengths_and_keep_to_both_limits() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1]), [1]);
        assert_eq!(sizes(&[1; 7]), [4, 2, 1]);
        assert_eq!(sizes(&[1; 600]), [256, 256, 64, 16, 8]);
        assert_eq!(sizes(&[BYTES_MAX / 3; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[1, 2 * BYTES_MAX, 1, 1]), [1, 1, 2]);
    }
}
