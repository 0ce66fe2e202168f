//! The support matrix of `README.md`, written from the code.

mod features;
mod packings;

use std::{fs, path::Path};

const BEGIN: &str = "<!-- matrix:begin -->";
const END: &str = "<!-- matrix:end -->";

type Result<T = ()> = std::result::Result<T, String>;

/// Writes the matrix between its markers in the file at `path`.
pub fn write(path: &Path) -> Result {
    let old = read(path)?;
    let new = splice(&old, &render()?).map_err(|e| format!("{}: {e}", path.display()))?;
    if new != old {
        fs::write(path, new).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Whether the matrix in the file at `path` is what [`write()`] would write.
pub fn check(path: &Path) -> Result {
    let old = read(path)?;
    match splice(&old, &render()?) {
        Ok(new) if new == old => Ok(()),
        Ok(_) => Err(format!("{}: the matrix is out of date: cargo xtask matrix", path.display())),
        Err(problem) => Err(format!("{}: {problem}", path.display())),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// `text` with `matrix` in place of what stands between the markers.
fn splice(text: &str, matrix: &str) -> Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    match parts {
        Some((before, after)) => Ok(format!("{before}{BEGIN}\n{matrix}{END}{after}")),
        None => Err(format!("the markers {BEGIN} and {END} are missing")),
    }
}

fn render() -> Result<String> {
    let tables = [features::families(), packings::table()?, features::rest()];
    Ok(format!("\n{}\n", tables.map(|table| table.to_string()).join("\n")))
}

/// A Markdown table.
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.head.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_replaces_what_is_between_its_markers() {
        let text = format!("before {BEGIN} old {END} after");
        let new = splice(&text, "new\n").unwrap();
        assert_eq!(new, format!("before {BEGIN}\nnew\n{END} after"));
        assert_eq!(splice(&new, "new\n").unwrap(), new);
        assert!(splice(&format!("{END} {BEGIN}"), "").unwrap_err().contains("markers"));
        assert!(splice("", "").is_err());
    }

    #[test]
    fn the_readme_is_current() {
        check(&crate::root().join("README.md")).unwrap();
    }
}
