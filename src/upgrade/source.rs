//! Where versions come from.

use std::collections::BTreeMap;
use std::fmt;

use crate::gen_server::{Code, CodeChange};
use crate::handoff::ModuleVsn;
use crate::supervisor::{Child, ChildSpec, Member, Tree};

/// Where the code of a version comes from: compiled into the program, or loaded into it.
pub trait CodeSource: Send + Sync {
    /// The code of this version. Asked again, it may answer the same.
    ///
    /// # Errors
    /// See [`LoadError`].
    fn open(&self, code: &ModuleVsn) -> Result<Code, LoadError>;

    /// The child that a plan adds or puts in the place of another; none by default.
    fn child(&self, id: &str) -> Option<Member> {
        let _ = id;
        None
    }

    /// The tree whose flags and specifications a plan puts in force at a supervisor; none by default.
    fn tree(&self, supervisor: &str) -> Option<Tree> {
        let _ = supervisor;
        None
    }
}

/// Why a version cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// The source has no such module.
    UnknownModule {
        /// What was asked for.
        wanted: ModuleVsn,
        /// The modules that it has.
        known: Vec<String>,
    },
    /// The source has other versions of the module.
    UnknownVersion {
        /// What was asked for.
        wanted: ModuleVsn,
        /// The versions that it has.
        known: Vec<u32>,
    },
    /// It is there and cannot be loaded.
    Failed {
        /// What was asked for.
        wanted: ModuleVsn,
        /// Why.
        why: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::UnknownModule { wanted, known } => {
                write!(f, "{wanted} cannot be had: the modules there are {known:?}")
            }
            LoadError::UnknownVersion { wanted, known } => {
                write!(f, "{wanted} cannot be had: the versions there are {known:?}")
            }
            LoadError::Failed { wanted, why } => write!(f, "{wanted} cannot be loaded: {why}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Versions that are compiled into the program.
#[derive(Clone, Default)]
pub struct Versions {
    codes: BTreeMap<ModuleVsn, Code>,
    children: BTreeMap<String, Member>,
    trees: BTreeMap<String, Tree>,
}

impl Versions {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the version that a type is.
    pub fn with<S: CodeChange>(mut self) -> Self {
        let code = Code::of::<S>();
        self.codes.insert(code.id(), code);
        self
    }

    /// Adds a child for plans to start, under its id.
    pub fn with_child<R: Child>(mut self, child: impl Into<ChildSpec<R>>) -> Self {
        let child = child.into();
        let id = child.specification().id().as_str().to_owned();
        self.children.insert(id, child.into());
        self
    }

    /// Adds a tree for plans to put in force at a supervisor, under the text that they call it by.
    pub fn with_tree(mut self, supervisor: impl Into<String>, tree: Tree) -> Self {
        self.trees.insert(supervisor.into(), tree);
        self
    }

    /// What is there, oldest first in each module.
    pub fn list(&self) -> impl Iterator<Item = &ModuleVsn> {
        self.codes.keys()
    }
}

impl CodeSource for Versions {
    fn open(&self, code: &ModuleVsn) -> Result<Code, LoadError> {
        if let Some(code) = self.codes.get(code) {
            return Ok(code.clone());
        }
        let wanted = code.clone();
        let known: Vec<u32> =
            self.list().filter(|id| id.module() == code.module()).map(ModuleVsn::vsn).collect();
        if !known.is_empty() {
            return Err(LoadError::UnknownVersion { wanted, known });
        }
        let mut known: Vec<String> = self.list().map(|id| id.module().to_owned()).collect();
        known.dedup();
        Err(LoadError::UnknownModule { wanted, known })
    }

    fn child(&self, id: &str) -> Option<Member> {
        self.children.get(id).cloned()
    }

    fn tree(&self, supervisor: &str) -> Option<Tree> {
        self.trees.get(supervisor).cloned()
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Versions { codes, children, trees } = self;
        write!(f, "Versions({:?}, children {:?}, trees {:?})", codes.keys(), children.keys(), trees.keys())
    }
}
