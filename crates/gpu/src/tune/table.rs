//! Choices, and the files they are kept in.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Key;
use crate::caches::user_folder;

/// A kernel that is faster than what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its name.
    pub kernel: String,
    /// Picoseconds of a launch of what it stands for.
    pub default_picoseconds: u64,
    /// Picoseconds of a launch of it.
    pub picoseconds: u64,
    /// Of several searches, which one found it; later ones are larger.
    #[serde(default)]
    pub search: u64,
}

impl Choice {
    /// Of a kernel and the seconds that were measured.
    pub fn new(kernel: String, default_seconds: f64, seconds: f64, search: u64) -> Self {
        let picoseconds = |seconds: f64| (seconds * 1e12).round() as u64;
        let (default_picoseconds, picoseconds) =
            (picoseconds(default_seconds), picoseconds(seconds));
        Self { kernel, default_picoseconds, picoseconds, search }
    }
}

/// The choices for a device. Whatever is not in it stays as it is without.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    choices: BTreeMap<String, Choice>,
}

/// Choices of a table at most, some hundred models' worth; the oldest go first.
const MOST: usize = 10_000;

/// Bytes of a file at most.
const MOST_BYTES: u64 = 16 << 20;

/// What a file is called by itself.
const FORMAT: &str = "tessera tuning";

/// Other versions are ignored.
const VERSION: u32 = 1;

/// A table's file.
#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    device: String,
    choices: BTreeMap<String, Choice>,
}

impl Table {
    /// Without choices.
    pub const fn new() -> Self {
        Self { choices: BTreeMap::new() }
    }

    /// The choice for a key.
    pub fn get(&self, key: &Key) -> Option<&Choice> {
        self.choices.get(key.as_str())
    }

    /// Adds a choice, or takes one back.
    pub fn set(&mut self, key: &Key, choice: Option<Choice>) {
        match choice {
            Some(choice) => self.choices.insert(key.as_str().to_owned(), choice),
            None => self.choices.remove(key.as_str()),
        };
    }

    /// How many choices there are.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// Number of the next search.
    pub(crate) fn next_search(&self) -> u64 {
        self.choices
            .values()
            .map(|choice| choice.search)
            .max()
            .map_or(0, |last| last.saturating_add(1))
    }

    fn trim(&mut self) {
        let excess = self.choices.len().saturating_sub(MOST);
        let mut ages: Vec<_> =
            self.choices.iter().map(|(key, choice)| (choice.search, key.clone())).collect();
        ages.sort();
        for (_, key) in ages.into_iter().take(excess) {
            self.choices.remove(&key);
        }
    }
}

/// A folder of tables, a file for each device. It may be deleted at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// This one, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `tuning` in the user's folder for this program's caches, if there is one.
    pub fn of_user() -> Option<Self> {
        Some(Self(user_folder()?.join("tuning")))
    }

    /// A device's file.
    pub fn path(&self, device: &str) -> PathBuf {
        let plain: String = device
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(80)
            .collect();
        // what the name leaves out tells devices apart here
        let hash = device.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.0.join(format!("{plain}-{hash:016x}.json"))
    }

    /// A device's table; an empty one, and why, if its file is no sound one.
    pub fn load(&self, device: &str) -> (Table, Option<String>) {
        let path = self.path(device);
        match read(&path, device) {
            Ok(table) => (table, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Table::new(), None),
            Err(error) => (Table::new(), Some(format!("{} is ignored: {error}", path.display()))),
        }
    }

    /// Replaces a device's table; tells the file. Whoever reads it meanwhile has the old one or the new one.
    pub fn save(&self, device: &str, table: &Table) -> io::Result<PathBuf> {
        let mut table = table.clone();
        table.trim();
        let file = File {
            format: FORMAT.into(),
            version: VERSION,
            device: device.into(),
            choices: table.choices,
        };
        let mut text = serde_json::to_string_pretty(&file)?;
        text.push('\n');
        fs::create_dir_all(&self.0)?;
        let path = self.path(device);
        let partial = path.with_extension(format!("{}.partial", std::process::id()));
        let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written.map(|()| path)
    }
}

fn read(path: &Path, device: &str) -> io::Result<Table> {
    let bytes = fs::metadata(path)?.len();
    if bytes > MOST_BYTES {
        return Err(io::Error::other(format!("{bytes} bytes, at most {MOST_BYTES}")));
    }
    let file: File = serde_json::from_slice(&fs::read(path)?)?;
    if file.format != FORMAT || file.version != VERSION {
        let what =
            format!("{:?} version {}, not {FORMAT:?} version {VERSION}", file.format, file.version);
        return Err(io::Error::other(what));
    }
    if file.device != device {
        return Err(io::Error::other(format!("it is for {:?}, this is {device:?}", file.device)));
    }
    let mut table = Table { choices: file.choices };
    table.trim();
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(kernel: &str, search: u64) -> Choice {
        Choice::new(kernel.into(), 2.5e-6, 1.25e-6, search)
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let tables = Folder::new(folder.path().join("deep/tuning"));
        (folder, tables)
    }

    #[test]
    fn keeps_a_table_for_each_device() {
        let (_folder, tables) = folder();
        assert_eq!(tables.load("a"), (Table::new(), None));
        let mut table = Table::new();
        table.set(&Key("matvec rows=8 @1".into()), Some(choice("other", 3)));
        table.set(&Key("gone @1".into()), Some(choice("other", 3)));
        table.set(&Key("gone @1".into()), None);
        let path = tables.save("an H100 / sm_90", &table).unwrap();
        assert_eq!(tables.load("an H100 / sm_90"), (table.clone(), None));
        assert_eq!(tables.load("an H100 + sm_90"), (Table::new(), None), "another device");
        assert_eq!((table.len(), table.next_search()), (1, 4));
        tables.save("an H100 / sm_90", &Table::new()).unwrap();
        assert!(tables.load("an H100 / sm_90").0.is_empty());
        let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "no partial files are left");
    }

    #[test]
    fn damage_is_ignored_and_told() {
        let (_folder, tables) = folder();
        let mut table = Table::new();
        table.set(&Key("k @1".into()), Some(choice("other", 0)));
        let path = tables.save("sim", &table).unwrap();
        let sound = fs::read_to_string(&path).unwrap();
        let damaged = [
            String::new(),
            "[]".into(),
            sound[..sound.len() / 2].into(),
            sound.replace("\"version\": 1", "\"version\": 2"),
            sound.replace("tessera tuning", "something else"),
            sound.replace("\"sim\"", "\"another\""),
            sound.replace("1250000", "\"fast\""),
        ];
        for text in damaged {
            assert_ne!(text, sound);
            fs::write(&path, &text).unwrap();
            let (found, note) = tables.load("sim");
            assert!(found.is_empty(), "{text}");
            assert!(note.is_some_and(|note| note.contains("ignored")), "{text}");
        }
        fs::write(&path, [0xff, 0xfe, 0]).unwrap();
        assert!(tables.load("sim").1.is_some());
        fs::write(&path, sound).unwrap();
        assert_eq!(tables.load("sim"), (table, None));
    }

    #[test]
    fn the_oldest_choices_go() {
        let (_folder, tables) = folder();
        let mut table = Table::new();
        for i in 0..MOST + 10 {
            table.set(&Key(format!("k{i} @1")), Some(choice("other", i as u64)));
        }
        tables.save("sim", &table).unwrap();
        let (found, note) = tables.load("sim");
        assert_eq!((found.len(), note), (MOST, None));
        assert!(found.get(&Key("k9 @1".into())).is_none());
        assert!(found.get(&Key("k10 @1".into())).is_some());
    }
}
