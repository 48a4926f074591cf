//! What is wrong with a history, in plain words, and where.

use std::fmt;

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) place: Place,
    pub(super) what: Wrong,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Entry {
        seq: u64,
        line: Option<u64>,
    },
    /// One of these, or several.
    Between {
        first: u64,
        last: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    Unreadable(String),
    NotALeaf,
    AnotherWorkspace(String),
    LeafOfAnother(i64),
    OutOfOrder { expected: u64 },
    Missing { last: u64 },
    Cut { last: u64, checkpoint: String },
    NotCovered { checkpoint: String, size: u64 },
    BackInTime,
    Changed,
    TreeChanged,
    Doctored(&'static str),
    Rewritten { checkpoint: String },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Entry { seq, line: Some(line) } => write!(f, "entry {seq} (line {line}): {}", self.what),
            Place::Entry { seq, line: None } => write!(f, "entry {seq}: {}", self.what),
            Place::Between { first, last } if first == last => write!(f, "entry {first}: {}", self.what),
            Place::Between { first, last } => {
                write!(f, "the first bad entry is one of {first} to {last}: {}", self.what)
            }
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "the line cannot be read: {why}"),
            Self::NotALeaf => {
                write!(f, "what stands there as its leaf is no leaf of Tenure's: it was changed")
            }
            Self::AnotherWorkspace(id) => write!(f, "its leaf is of workspace {id}"),
            Self::LeafOfAnother(seq) => {
                write!(f, "its leaf is that of entry {seq}: entries were swapped or numbered anew")
            }
            Self::OutOfOrder { expected } => {
                write!(f, "entry {expected} should stand here: entries were swapped or repeated")
            }
            Self::Missing { last } => write!(f, "it is missing, and so is all up to entry {last}: deleted"),
            Self::Cut { last, checkpoint } => write!(
                f,
                "it is missing, and so is all after it: the tail was cut, since {checkpoint} covers {last} entries"
            ),
            Self::NotCovered { checkpoint, size } => write!(
                f,
                "nothing vouches for it: {checkpoint} covers {size} entries. It was added, or the checkpoint is too old"
            ),
            Self::BackInTime => write!(f, "it is older than the entry before it, by position or by time"),
            Self::Changed => write!(f, "it was changed: its leaf has another hash than the one kept for it"),
            Self::TreeChanged => {
                write!(f, "the entry is as its leaf hash says, but a node of the tree above it was changed")
            }
            Self::Doctored(field) => {
                write!(f, "its leaf is well, but `{field}` beside it says something else")
            }
            Self::Rewritten { checkpoint } => write!(
                f,
                "all hashes fit each other, but not the root that was signed in {checkpoint}: \
                 the history was rewritten, with new hashes"
            ),
        }
    }
}
