//! Near misses: which known name was probably meant.

/// The names within two edits (or a third of `text`'s length), or that begin with it, nearest first;
/// all of them when none is near, since the catalogue is short.
pub(crate) fn nearest(text: &str, names: &[String]) -> Vec<String> {
    let text = text.to_lowercase();
    let limit = (text.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .map(|name| (distance(&text, &name.to_lowercase()), name))
        .filter(|(edits, name)| *edits <= limit || name.to_lowercase().starts_with(&text))
        .collect();
    near.sort();
    match near.is_empty() {
        true => names.to_vec(),
        false => near.into_iter().map(|(_, name)| name.clone()).collect(),
    }
}

/// A Hub id from a text that almost is one: spaces become dashes, a leading host falls away and
/// surplus path parts are dropped.
pub(crate) fn hub_spelling(text: &str) -> Vec<String> {
    let tidy = text.trim().replace([' ', '\t'], "-");
    let mut parts: Vec<&str> = tidy.split('/').filter(|part| !part.is_empty()).collect();
    if parts.len() > 2 && parts[0].contains('.') {
        parts.remove(0);
    }
    parts.truncate(2);
    let candidate = parts.join("/");
    let id = candidate.split(['@', ':']).next().unwrap_or_default();
    match crate::RepoId::new(id) {
        Some(_) if candidate != text => vec![candidate],
        _ => Vec::new(),
    }
}

/// Levenshtein distance, in characters. Texts are cut at 64 characters: names are short.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.iter().enumerate() {
            let substitute = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = substitute.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn offers_the_near_name_or_all() {
        let names = ["smollm2".to_owned(), "gemma3-270m".to_owned()];
        assert_eq!(nearest("smolm2", &names), ["smollm2"]);
        assert_eq!(nearest("gemma", &names), ["gemma3-270m"]);
        assert_eq!(nearest("zzz", &names), names);
    }

    #[test]
    fn repairs_hub_ids() {
        assert_eq!(hub_spelling("hub.example/org/repo"), ["org/repo"]);
        assert_eq!(hub_spelling("org/my repo"), ["org/my-repo"]);
        assert_eq!(hub_spelling("org/repo/tree/main"), ["org/repo"]);
        assert!(hub_spelling("--/--").is_empty());
    }
}
