//! Plain tables: columns as wide as their widest cell, two spaces between.

use std::fmt;

/// A table with a header.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// An empty table.
    pub fn new(header: &[&str]) -> Self {
        let row = header.iter().map(|&it| it.to_owned()).collect();
        Self { rows: vec![row], right: vec![false; header.len()] }
    }

    /// Aligns a column to the right.
    pub fn right(mut self, column: usize) -> Self {
        if let Some(right) = self.right.get_mut(column) {
            *right = true;
        }
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.right.len())
            .map(|column| {
                let cell = |row: &Vec<String>| row.get(column).map_or(0, |it| it.chars().count());
                self.rows.iter().map(cell).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                line +=
                    &if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", "SIZE"]).right(1);
        table.row(["ä".into(), "93.8 MiB".into()]);
        table.row(["longer".into(), "1 B".into()]);
        assert_eq!(table.to_string(), "NAME        SIZE\nä       93.8 MiB\nlonger       1 B\n");
    }
}
