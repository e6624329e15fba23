//! Where values come from, which source counts, and what is said of faulty ones.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use incarnate::application::{App, Application, Configuration, LoadError, Spec};
use incarnate::{Node, Result, Supervisor, Tree};
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
struct Config {
    port: u16,
    host: String,
    #[serde(default)]
    limits: Limits,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
struct Limits {
    max: u8,
    #[serde(default)]
    min: u8,
}

/// An application that takes such a configuration, with these values of its own.
struct Web(&'static str);

impl Application for Web {
    type Config = Config;

    fn spec(&self) -> Spec {
        Spec::new("web", "1.0.0").env(self.0)
    }

    async fn start(&self, _: Arc<Config>) -> Result<Tree> {
        Ok(Supervisor::tree("web"))
    }
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("incarnate-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn variable(key: &str, value: &str) -> [(String, String); 1] {
    [(key.to_owned(), value.to_owned())]
}

async fn load(own: &'static str, configuration: Configuration) -> Result<Arc<Config>, String> {
    let node = Node::new("test");
    let applications = node.applications();
    applications.configure(configuration).map_err(|error| error.to_string())?;
    applications.load(App::new(Web(own))).await.map_err(|error| error.to_string())?;
    applications.check().map_err(|error| error.to_string())?;
    Ok(applications.config("web").unwrap())
}

const OWN: &str = "port = 80\nhost = 'own'\n[limits]\nmax = 1\nmin = 1";

#[tokio::test]
async fn rule_2_15_6_the_command_line_goes_before_the_environment_that_before_files_and_these_before_its_own()
{
    let first = File::new("first", "[web]\nport = 81\nhost = 'first'\nlimits.max = 2");
    let second = File::new("second", "[web]\nport = 82\nlimits.max = 3");
    let mut all = Configuration::new();
    let mut seen = Vec::new();
    let steps: [&dyn Fn(Configuration) -> Configuration; 5] = [
        &|all| all,
        &|all| all.file(&first.0),
        &|all| all.file(&second.0),
        &|all| all.environment(variable("WEB__PORT", "83")).environment(variable("WEB__LIMITS__MAX", "4")),
        &|all| all.argument("web.port=84").argument("web.limits.max=5"),
    ];
    for step in steps {
        all = step(all);
        let config = load(OWN, all.clone()).await.unwrap();
        seen.push(format!("{} {} {} {}", config.port, config.host, config.limits.max, config.limits.min));
    }
    assert_eq!(seen, ["80 own 1 1", "81 first 2 1", "82 first 3 1", "83 first 4 1", "84 first 5 1"]);
}

#[tokio::test]
async fn a_value_of_the_environment_is_toml_or_text() {
    for (given, host) in [
        ("example.com", "example.com"),
        ("\"quoted\"", "quoted"),
        ("", ""),
        ("a\nport = 9", "a\nport = 9"),
        ("'80'", "80"),
    ] {
        let config = load(OWN, Configuration::new().environment(variable("WEB__HOST", given))).await.unwrap();
        assert_eq!(config.host, host);
    }
    let tags = Configuration::new().argument(r#"web.tags=["a", "b"]"#);
    assert_eq!(load(OWN, tags).await.unwrap().tags, Some(vec!["a".to_owned(), "b".to_owned()]));
    // What is another program's is not looked at, nor is what Kubernetes sets for a service of the same name.
    let others = variable("OTHER__PORT", "x").into_iter().chain(variable("WEB_PORT", "tcp://10.0.0.1:80"));
    assert_eq!(load(OWN, Configuration::new().environment(others)).await.unwrap().port, 80);
}

#[tokio::test]
async fn app_024_a_faulty_configuration_is_one_line_that_names_the_key_and_the_source() {
    let plain = Configuration::new;
    let faulty = |name: &str, text: &str| (File::new(name, text), text.to_owned());
    let cases = [
        (faulty("missing", "[web]\nhost = 'a'"), "missing key `web.port`: not in FILE"),
        (faulty("nothing", ""), "missing key `web.port`: not in FILE"),
        (
            faulty("inner", "[web]\nport = 1\nhost = 'a'\nlimits = {}"),
            "missing key `web.limits.max`: not in FILE",
        ),
        (
            faulty("wrong", "[web]\nport = 'http'\nhost = 'a'"),
            "`web.port` in FILE: invalid type: found string \"http\", expected u16",
        ),
        (
            faulty("range", "[web]\nport = 70000\nhost = 'a'"),
            "`web.port` in FILE: invalid value signed int `70000`, expected u16",
        ),
        (faulty("unknown", "[web]\nport = 1\nhost = 'a'\nprot = 2"), "unknown key `web.prot` in FILE"),
        (
            faulty("deep", "[web]\nport = 1\nhost = 'a'\nlimits = { max = 1, mix = 2 }"),
            "unknown key `web.limits.mix` in FILE",
        ),
        (faulty("table", "[web]\nport = 1\nhost = 'a'\n[wep]\nport = 1"), "unknown key `wep` in FILE"),
        (faulty("scalar", "web = 5"), "`web` in FILE: invalid type: found signed int `5`, expected a table"),
        (faulty("syntax", "[web]\nport = = 1"), "FILE, line 2: no TOML: "),
    ];
    for ((file, text), expected) in cases {
        let line = load("", plain().file(&file.0)).await.unwrap_err();
        let line = line.replace(&file.0.display().to_string(), "FILE");
        assert!(line.starts_with(expected), "{text:?}: {line}");
        assert!(expected.ends_with(": ") || line == expected, "{text:?}: {line}");
        assert!(!line.contains('\n'), "{line}");
    }
    let of = async |configuration| load(OWN, configuration).await.unwrap_err();
    assert_eq!(
        of(plain().file("/gone/web.toml")).await,
        "/gone/web.toml: cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        of(plain().environment(variable("WEB__PORT", "http"))).await,
        "`web.port` in environment variable WEB__PORT: invalid type: found string \"http\", expected u16"
    );
    assert_eq!(
        of(plain().environment(variable("WEB__PROT", "1"))).await,
        "unknown key `web.prot` in environment variable WEB__PROT"
    );
    assert_eq!(of(plain().argument("wep.port=1")).await, "unknown key `wep` in argument wep.port=1");
    assert_eq!(of(plain().argument("port")).await, "argument \"port\" is not application.key=value");
    let own = load("port = 'x'\nhost = 'a'", plain()).await.unwrap_err();
    assert!(own.starts_with("`web.port` in the application's own values: "), "{own}");
}

#[tokio::test]
async fn what_was_not_configured_is_not_loaded() {
    let node = Node::new("test");
    let refused = node.applications().load(App::new(Web("port = 1"))).await;
    assert!(matches!(refused, Err(LoadError::Config(_))), "{refused:?}");
    assert_eq!(node.applications().loaded_applications(), []);
    let old = node.applications().configure(Configuration::new().file("/gone"));
    assert!(old.is_err());
}
