//! Configuration: where values come from, and how they become a type.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_ignored::Path;

use super::spec::Spec;

/// What stands for the name of a file where the application's own values are faulty.
const OWN: &str = "the application's own values";
const NOT_UNICODE: &str = "it is no Unicode";
/// Tables inside each other, at most, by the name of a variable or an argument.
const DEEPEST: usize = 32;

/// Configuration of an application that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NoConfig {}

/// Where the values of applications come from. Later sources go before earlier ones, key by key:
///
/// 1. the application's own ([`Spec::env`]);
/// 2. TOML files, in the order given, with a table for each application: `[counter]`, `start = 5`;
/// 3. environment variables: `COUNTER__START=5`, and `COUNTER__LIMITS__MAX=3` for a key in a table;
/// 4. arguments: `counter.start=5`.
///
/// A value of the environment or the command line is read as TOML, and is text if it is none.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    files: Vec<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<String>,
}

impl Configuration {
    /// No source but the applications themselves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file. It is read when the configuration is put in force, and must be there.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Adds these environment variables; those of the program are `std::env::vars_os()`. Only those that begin with the name
    /// of an application and two underscores matter. Names are read as small letters, so a key with others cannot be set
    /// so.
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.environment.extend(variables.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Adds an argument, `application.key=value` (`erl -App Key Value`).
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Reads the files.
    pub(super) fn read(self) -> Result<Sources, ConfigError> {
        let mut sources = Sources::default();
        for path in self.files {
            let file = path.display().to_string();
            let text = fs::read_to_string(&path)
                .map_err(|error| ConfigError::Unreadable { file: file.clone(), error: one_line(&error) })?;
            sources.files.push(file.clone());
            for (application, value) in parse(&file, &text)? {
                let value = Ok(value);
                sources.parts.push(Part { application, at: Vec::new(), value, origin: file.clone() });
            }
        }
        for (variable, text) in self.environment {
            let Ok(variable) = variable.into_string() else { continue };
            let mut steps = variable.split("__").map(str::to_ascii_lowercase);
            let Some(application) = steps.next() else { continue };
            let at: Vec<String> = steps.collect();
            if !at.is_empty() {
                let origin = format!("environment variable {variable}");
                let value = text.into_string().map(|text| value(&text)).map_err(|_| NOT_UNICODE);
                sources.variables.push(Part { application, at, value, origin });
            }
        }
        for argument in self.arguments {
            let split = argument.split_once('=').and_then(|(key, text)| Some((key.split_once('.')?, text)));
            let Some(((application, key), text)) = split else {
                return Err(ConfigError::NoArgument { argument });
            };
            let (application, at) = (application.to_owned(), key.split('.').map(str::to_owned).collect());
            // The value is not said: it may be a secret.
            let origin = format!("argument {application}.{key}");
            sources.arguments.push(Part { application, at, value: Ok(value(text)), origin });
        }
        Ok(sources)
    }
}

/// A part of an application's values, and where it is from.
#[derive(Clone, Debug)]
struct Part {
    application: String,
    at: Vec<String>,
    /// The value, or what is wrong with it.
    value: Result<Value, &'static str>,
    origin: String,
}

/// What the sources have, for all applications.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    files: Vec<String>,
    /// Of files.
    parts: Vec<Part>,
    variables: Vec<Part>,
    arguments: Vec<Part>,
}

/// The configuration of one application.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) typed: Arc<dyn Any + Send + Sync>,
    values: Figment,
    application: &'static str,
}

impl Sources {
    /// Something in a file or an argument is for none of these applications.
    ///
    /// The environment is not looked at: it is everybody's.
    pub(super) fn unknown(&self, names: &[&'static str]) -> Result<(), ConfigError> {
        let mut named = self.parts.iter().chain(&self.arguments);
        match named.find(|part| !names.contains(&part.application.as_str())) {
            None => Ok(()),
            Some(part) => {
                Err(ConfigError::Unknown { key: part.application.clone(), origin: part.origin.clone() })
            }
        }
    }

    /// The values of one application, as its type.
    pub(super) fn of<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
        spec: &Spec,
    ) -> Result<Configured, ConfigError> {
        let application = spec.name();
        let own = parse(OWN, spec.get_env())?;
        let mut values = Figment::from(Layer { values: own, origin: OWN.to_owned() });
        for part in self.parts.iter().chain(&self.variables).chain(&self.arguments) {
            if part.application == application {
                values = values.merge(part.layer()?);
            }
        }
        let of = |error: figment::Error| ConfigError::of(application, error, &values, &self.files);
        let Checked(config, ignored) = values.extract::<Checked<C>>().map_err(of)?;
        if let Some(path) = ignored {
            let (path, origin) = locate(&values, path);
            return Err(ConfigError::Unknown { key: dotted(application, &path), origin });
        }
        Ok(Configured { typed: Arc::new(config), values, application })
    }
}

impl Configured {
    /// One value, by its key; `None`: no source has it.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        if !self.values.contains(key) {
            return Ok(None);
        }
        let of = |error: figment::Error| ConfigError::of(self.application, error, &self.values, &[]);
        self.values.extract_inner(key).map(Some).map_err(of)
    }
}

impl Part {
    fn layer(&self) -> Result<Layer, ConfigError> {
        let wrong = |problem: &str| ConfigError::Wrong {
            key: dotted(&self.application, &self.at),
            origin: self.origin.clone(),
            problem: problem.to_owned(),
        };
        let mut value = self.value.clone().map_err(wrong)?;
        if self.at.len() > DEEPEST {
            let key = dotted(&self.application, &self.at[..DEEPEST]);
            let problem = format!("nested deeper than {DEEPEST} tables");
            return Err(ConfigError::Wrong { key, origin: self.origin.clone(), problem });
        }
        for key in self.at.iter().rev() {
            value = Value::from(Dict::from([(key.clone(), value)]));
        }
        match value {
            Value::Dict(_, values) => Ok(Layer { values, origin: self.origin.clone() }),
            other => Err(ConfigError::Wrong {
                key: self.application.clone(),
                origin: self.origin.clone(),
                problem: format!("invalid type: found {}, expected a table", other.to_actual()),
            }),
        }
    }
}

/// One source of values, as figment sees it.
struct Layer {
    values: Dict,
    origin: String,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// A value, and the first key that it did not look at.
struct Checked<C>(C, Option<Vec<Step>>);

/// One step on the way to a value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a path; what an Option or a newtype adds to it is none in a file.
fn steps(path: &Path<'_>) -> Vec<Step> {
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            return steps(parent);
        }
        Path::Seq { parent, index } => (parent, Step::Index(*index)),
        Path::Map { parent, key } => (parent, Step::Key(key.clone())),
    };
    let mut steps = steps(parent);
    steps.push(step);
    steps
}

impl<'de, C: Deserialize<'de>> Deserialize<'de> for Checked<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut ignored = None;
        let config = serde_ignored::deserialize(deserializer, |path| {
            ignored.get_or_insert_with(|| steps(&path));
        })?;
        Ok(Checked(config, ignored))
    }
}

fn parse(file: &str, text: &str) -> Result<Dict, ConfigError> {
    Toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let problem = Some(one_line(&error.message())).filter(|problem| !problem.is_empty());
        let problem = problem.unwrap_or_else(|| "a value is missing, or cut short".to_owned());
        ConfigError::Invalid { file: file.to_owned(), line, problem }
    })
}

/// A value out of a text that is one of TOML, or itself.
fn value(text: &str) -> Value {
    let parsed = Toml::from_str::<Dict>(&format!("value = {text}"));
    // Text with a line break could be several.
    let parsed = parsed.ok().filter(|dict| dict.len() == 1).and_then(|mut dict| dict.remove("value"));
    parsed.unwrap_or_else(|| Value::from(text))
}

/// The keys on the way to a value, and the source of the deepest of them that is there.
///
/// The name of an enum's variant is a table in the file and no step for serde: it is put in where it is passed.
fn locate(values: &Figment, path: Vec<Step>) -> (Vec<String>, String) {
    let all = values.data().unwrap_or_default();
    let mut at = all.into_values().next().map(Value::from);
    let (mut keys, mut tag) = (Vec::new(), None);
    for step in path {
        if let (Step::Key(key), Some(Value::Dict(_, dict))) = (&step, &at)
            && !dict.contains_key(key)
            && let [(variant, inside)] = &*dict.iter().collect::<Vec<_>>()
        {
            keys.push((*variant).clone());
            tag = Some(inside.tag());
            at = Some((*inside).clone());
        }
        let found = match (&step, at) {
            (Step::Key(key), Some(Value::Dict(_, mut dict))) => dict.remove(key),
            (Step::Index(index), Some(Value::Array(_, items))) => items.into_iter().nth(*index),
            _ => None,
        };
        keys.push(match step {
            Step::Key(key) => key,
            Step::Index(index) => index.to_string(),
        });
        tag = found.as_ref().map(Value::tag).or(tag);
        at = found;
    }
    let metadata = tag.and_then(|tag| values.get_metadata(tag));
    (keys, metadata.map_or_else(|| everywhere(values), |metadata| metadata.name.to_string()))
}

/// All sources that there are values from: what says of an error where it is does not always.
fn everywhere(values: &Figment) -> String {
    let mut names: Vec<_> = values.metadata().map(|metadata| metadata.name.to_string()).collect();
    names.dedup();
    names.join(", ")
}

/// A key as it is written; one with a dot in it, or none, in quotation marks.
fn dotted(application: &str, path: &[String]) -> String {
    let quoted = |key: &String| match key.is_empty() || key.contains('.') {
        true => format!("{key:?}"),
        false => key.clone(),
    };
    std::iter::once(application.to_owned()).chain(path.iter().map(quoted)).collect::<Vec<_>>().join(".")
}

fn one_line(text: &dyn fmt::Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is wrong with a configuration: one line that names the key and the source. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Its path.
        file: String,
        /// Why.
        error: String,
    },
    /// The file is no TOML.
    Invalid {
        /// Its path.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What was expected there.
        problem: String,
    },
    /// A key that the application must have is in no source.
    Missing {
        /// The key, after the name of the application.
        key: String,
        /// The files that were read.
        files: Vec<String>,
    },
    /// A value is not of the type that the application takes.
    Wrong {
        /// The key, after the name of the application.
        key: String,
        /// The file, variable or argument that it is from.
        origin: String,
        /// What was found, and expected.
        problem: String,
    },
    /// A key that nobody reads.
    Unknown {
        /// The key, after the name of the application; or a name that no application has.
        key: String,
        /// The file, variable or argument that it is from.
        origin: String,
    },
    /// An argument that is not `application.key=value`.
    NoArgument {
        /// The argument.
        argument: String,
    },
}

/// A step of a path that is text alone.
fn step(key: &str) -> Step {
    key.parse().map_or_else(|_| Step::Key(key.to_owned()), Step::Index)
}

impl ConfigError {
    fn of(application: &str, error: figment::Error, values: &Figment, files: &[String]) -> Self {
        let mut path = error.path.clone();
        let field = match &error.kind {
            Kind::MissingField(field) => Some(field.to_string()),
            Kind::UnknownField(field, _) => Some(field.clone()),
            _ => None,
        };
        path.extend(field.filter(|field| path.last() != Some(field)));
        let missing = matches!(error.kind, Kind::MissingField(_));
        let (_, origin) = locate(values, path.iter().map(|key| step(key)).collect());
        let key = dotted(application, &path);
        match &error.kind {
            _ if missing => ConfigError::Missing { key, files: files.to_vec() },
            Kind::UnknownField(..) => ConfigError::Unknown { key, origin },
            other => {
                let from = error.metadata.as_ref().map(|metadata| metadata.name.to_string());
                ConfigError::Wrong { key, origin: from.unwrap_or(origin), problem: one_line(other) }
            }
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { file, error } => write!(f, "{file}: cannot be read: {error}"),
            ConfigError::Invalid { file, line, problem } => {
                write!(f, "{file}, line {line}: no TOML: {problem}")
            }
            ConfigError::Missing { key, files } if files.is_empty() => {
                write!(f, "missing key `{key}`: no source has it")
            }
            ConfigError::Missing { key, files } => {
                write!(f, "missing key `{key}`: not in {}", files.join(", "))
            }
            ConfigError::Wrong { key, origin, problem } => write!(f, "`{key}` in {origin}: {problem}"),
            ConfigError::Unknown { key, origin } => write!(f, "unknown key `{key}` in {origin}"),
            ConfigError::NoArgument { argument } => {
                write!(f, "argument {argument:?} is not application.key=value")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
