//! An upgrade as data: what OTP's appup says.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::handoff::ModuleVsn;
use crate::term::{Term, TermError};

/// From one release of a running system to another, and back: the two lists of an appup file.
///
/// Plain data: it serialises, and is read from TOML or JSON.
///
/// ```
/// use incarnate::upgrade::{Step, Upgrade};
///
/// let upgrade = Upgrade::new("hits").up(Step::update("key", 1, 2)).down(Step::update("key", 2, 1));
/// assert_eq!(upgrade, Upgrade::new("hits").update("key", 1, 2));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// What it is called in reports.
    pub name: String,
    /// To the newer release.
    #[serde(default)]
    pub up: Vec<Step>,
    /// Back to the older one.
    #[serde(default)]
    pub down: Vec<Step>,
    /// How long the processes of one module may take to finish what they are doing and wait, in milliseconds.
    #[serde(default = "five_seconds", with = "millis")]
    pub suspend_timeout: Duration,
    /// How long all conversions together may be waited for, in milliseconds.
    #[serde(default = "five_seconds", with = "millis")]
    pub convert_timeout: Duration,
}

/// Which of the two lists is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the newer release.
    Up,
    /// Back to the older one.
    Down,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Sees to it that a version can be had, and changes nothing (`load_module`).
    Load {
        /// As `name@version`.
        module: ModuleVsn,
    },
    /// Changes all processes of a module on the node, and what is started of it from then on (`update` with
    /// `{advanced, Extra}`).
    Update(Update),
    /// Starts a child that the source has under this id, as the last of its supervisor.
    AddChild(Place),
    /// Ends a child and starts the one that the source has under its id, in its place.
    ReplaceChild(Place),
    /// Ends a child for good.
    DeleteChild(Place),
    /// Puts the specification in force that the source has under this id; the process that runs stays.
    ChangeChild(Place),
    /// Changes flags of a supervisor; those that are not named stay.
    ChangeFlags(ChangeFlags),
    /// Puts the flags and specifications in force that the source has for a supervisor: nothing is started or ended by
    /// it (`{update, Module, supervisor}`).
    ChangeSupervisor {
        /// Its registered name, or a path below one: `top/rooms`. The source has its tree under the same text.
        supervisor: String,
    },
}

/// A child of a supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The supervisor's registered name, or a path of ids below one: `top/rooms`.
    pub supervisor: String,
    /// The id of the child.
    pub child: String,
}

/// Other flags for a supervisor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeFlags {
    /// The supervisor's registered name, or a path of ids below one: `top/rooms`.
    pub supervisor: String,
    /// How many restarts within the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intensity: Option<u32>,
    /// The period, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// Which children are started again when one has to be: `one_for_one`, `one_for_all` or `rest_for_one`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<ChangeStrategy>,
}

/// The strategies that a supervisor can change between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeStrategy {
    /// The one that ended.
    OneForOne,
    /// All.
    OneForAll,
    /// The one that ended and those that were started after it.
    RestForOne,
}

/// The change of one module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Its name.
    pub module: String,
    /// The version that all its processes run now.
    pub from: u32,
    /// The version that they are to run.
    pub to: u32,
    /// What the conversions are given besides the state.
    #[serde(default, skip_serializing_if = "Value::is_nil")]
    pub extra: Value,
    /// The modules that it calls: its processes are suspended before theirs and resumed after them (`DepMods`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// A value in a plan, as TOML and JSON know them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing. TOML has it only as what is not written.
    #[default]
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number: 64 bits with a sign, as in TOML.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// Whether it is nothing.
    pub fn is_nil(&self) -> bool {
        *self == Value::Nil
    }

    /// As conversions are given it.
    pub(super) fn term(&self) -> Result<Term, TermError> {
        Term::encode(self)
    }
}

/// By hand: what is no value is refused for what it is, and a number that does not fit does not become another.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a truth value, a number, a text, a list or values by name")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        let whole = i64::try_from(value)
            .map_err(|_| E::custom(format!("{value} does not fit into 64 bits with a sign")));
        whole.map(Value::Integer)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(name) = values.next_key::<String>()? {
            // How the crate `toml` hands over a date.
            if name == "$__toml_private_datetime" {
                return Err(A::Error::custom("a date is no value of a plan; write it as text"));
            }
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
            map.insert(name, values.next_value()?);
        }
        Ok(Value::Map(map))
    }
}

impl Step {
    /// The change of a module, with nothing extra and no dependencies.
    pub fn update(module: impl Into<String>, from: u32, to: u32) -> Self {
        Step::Update(Update::new(module, from, to))
    }
}

impl Place {
    /// The child with this id below a supervisor.
    pub fn new(supervisor: impl Into<String>, child: impl Into<String>) -> Self {
        Place { supervisor: supervisor.into(), child: child.into() }
    }
}

impl ChangeFlags {
    /// No change yet to the flags of a supervisor.
    pub fn of(supervisor: impl Into<String>) -> Self {
        ChangeFlags { supervisor: supervisor.into(), ..ChangeFlags::default() }
    }
}

impl From<Update> for Step {
    fn from(update: Update) -> Self {
        Step::Update(update)
    }
}

impl Update {
    /// The change of a module, with nothing extra and no dependencies.
    pub fn new(module: impl Into<String>, from: u32, to: u32) -> Self {
        Update { module: module.into(), from, to, extra: Value::Nil, depends_on: Vec::new() }
    }

    /// Gives the conversions something besides the state.
    pub fn extra(mut self, extra: Value) -> Self {
        self.extra = extra;
        self
    }

    /// Says that its processes call those of another module.
    pub fn depends_on(mut self, module: impl Into<String>) -> Self {
        self.depends_on.push(module.into());
        self
    }

    /// The same change backwards.
    fn reversed(&self) -> Self {
        Update { from: self.to, to: self.from, ..self.clone() }
    }
}

impl Upgrade {
    /// One that does nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        let (up, down) = (Vec::new(), Vec::new());
        let (suspend_timeout, convert_timeout) = (five_seconds(), five_seconds());
        Upgrade { name: name.into(), up, down, suspend_timeout, convert_timeout }
    }

    /// Adds a step of the way up.
    pub fn up(mut self, step: impl Into<Step>) -> Self {
        self.up.push(step.into());
        self
    }

    /// Adds a step of the way down.
    pub fn down(mut self, step: impl Into<Step>) -> Self {
        self.down.push(step.into());
        self
    }

    /// Adds the change of a module to both ways.
    pub fn update(self, module: impl Into<String>, from: u32, to: u32) -> Self {
        self.both(Update::new(module, from, to))
    }

    /// Adds a change to the way up, and backwards to the way down.
    pub fn both(self, update: Update) -> Self {
        let back = update.reversed();
        self.up(update).down(back)
    }

    /// How long the processes of one module may take until they wait; 5 s by default.
    pub fn suspend_timeout(mut self, timeout: Duration) -> Self {
        self.suspend_timeout = timeout;
        self
    }

    /// How long all conversions together may be waited for; 5 s by default.
    pub fn convert_timeout(mut self, timeout: Duration) -> Self {
        self.convert_timeout = timeout;
        self
    }

    /// The steps of one way.
    pub fn steps(&self, direction: Direction) -> &[Step] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        // What is longer than any number of TOML is as good as no limit.
        i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
