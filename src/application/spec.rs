//! What an application is, as data: OTP's application resource file.

use std::fmt;

/// An application as data (`app(4)`): what [`Application::spec`](super::Application::spec) answers and
/// [`Applications::get_key`](super::Applications::get_key) reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    name: &'static str,
    vsn: &'static str,
    description: &'static str,
    applications: Vec<&'static str>,
    start_phases: Vec<&'static str>,
    env: &'static str,
}

impl Spec {
    /// An application with this name and version, without dependencies, start phases and values of its own.
    ///
    /// The name is also its table in a configuration file and, in upper case, the beginning of its environment
    /// variables: letters, digits and single underscores.
    pub const fn new(name: &'static str, vsn: &'static str) -> Self {
        Spec { name, vsn, description: "", applications: Vec::new(), start_phases: Vec::new(), env: "" }
    }

    /// What it is for, in one line.
    pub fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// The applications that must run before it starts.
    pub fn applications(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.applications = names.into_iter().collect();
        self
    }

    /// What [`Application::start_phase`](super::Application::start_phase) is called with, in this order, when the tree is
    /// up.
    pub fn start_phases(mut self, phases: impl IntoIterator<Item = &'static str>) -> Self {
        self.start_phases = phases.into_iter().collect();
        self
    }

    /// The application's own values, as TOML: those of a file, the environment or the command line go before them.
    pub fn env(mut self, toml: &'static str) -> Self {
        self.env = toml;
        self
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The version.
    pub fn vsn(&self) -> &'static str {
        self.vsn
    }

    /// The description.
    pub fn get_description(&self) -> &'static str {
        self.description
    }

    /// The dependencies.
    pub fn get_applications(&self) -> &[&'static str] {
        &self.applications
    }

    /// The start phases.
    pub fn get_start_phases(&self) -> &[&'static str] {
        &self.start_phases
    }

    /// The application's own values, as TOML.
    pub fn get_env(&self) -> &'static str {
        self.env
    }

    /// Whether the name can stand in a file and in the environment.
    pub(super) fn has_good_name(&self) -> bool {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        self.name.starts_with(|c: char| c.is_ascii_lowercase())
            && self.name.chars().all(good)
            && !self.name.contains("__")
            && !self.name.ends_with('_')
    }
}

/// One line: name and version.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.vsn)
    }
}

/// What the end of an application means for the node (`application:start/2`). A stop by request never takes the node down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartType {
    /// Its end is reported, no more. The default.
    #[default]
    Temporary,
    /// The node stops unless it ends normally. `shutdown` is not normal, so the end of a tree by itself always stops the
    /// node.
    Transient,
    /// The node stops, however it ends.
    Permanent,
}

impl fmt::Display for StartType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartType::Temporary => "temporary",
            StartType::Transient => "transient",
            StartType::Permanent => "permanent",
        })
    }
}
