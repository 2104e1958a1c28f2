//! Tables: columns without lines, so that they can be read, cut and pasted.

use comfy_table::{Cell, CellAlignment};

/// A table that is being filled.
pub(crate) struct Table {
    table: comfy_table::Table,
    /// Columns whose header begins with this mark hold numbers.
    right: Vec<bool>,
}

/// A header that begins with this stands above numbers, which are aligned to the right.
const NUMBERS: char = '#';

impl Table {
    /// A table with these columns; `#` before a header aligns its column to the right.
    pub(crate) fn new(headers: &[&str]) -> Self {
        let right: Vec<bool> = headers.iter().map(|header| header.starts_with(NUMBERS)).collect();
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        let mut this = Self { table, right };
        let headers: Vec<String> =
            headers.iter().map(|header| header.trim_start_matches(NUMBERS).to_uppercase()).collect();
        let cells = this.cells(headers);
        this.table.set_header(cells);
        for column in this.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        this
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = self.cells(cells);
        self.table.add_row(cells);
    }

    fn cells(&self, texts: impl IntoIterator<Item = String>) -> Vec<Cell> {
        let align = |right: &bool| if *right { CellAlignment::Right } else { CellAlignment::Left };
        texts
            .into_iter()
            .zip(&self.right)
            .map(|(text, right)| Cell::new(text).set_alignment(align(right)))
            .collect()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right_and_no_line_ends_in_blanks() {
        let mut table = Table::new(&["asset", "#tasks"]);
        table.row(["readings".to_owned(), "730".to_owned()]);
        table.row(["a".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "ASSET     TASKS\nreadings    730\na             1\n");
    }
}
