//! Where values come from, which source counts, and what is said of faulty ones.

use std::fs;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use incarnate::application::{App, Application, Configuration, LoadError, Spec};
use incarnate::{Node, Result, Supervisor, Tree};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::settings::{Deep, Flat, Whole};

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

fn variable<'a>(key: &'a str, value: &'a str) -> [(&'a str, &'a str); 1] {
    [(key, value)]
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
        (faulty("cut", "[web]\nport ="), "FILE, line 2: no TOML: a value is missing, or cut short"),
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
    assert_eq!(of(plain().argument("wep.port=1")).await, "unknown key `wep` in argument wep.port");
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

/// An application with nothing but a configuration of this type.
struct Bare<C>(PhantomData<fn(C)>);

impl<C: DeserializeOwned + Send + Sync + 'static> Application for Bare<C> {
    type Config = C;

    fn spec(&self) -> Spec {
        Spec::new("web", "1.0.0")
    }

    async fn start(&self, _: Arc<C>) -> Result<Tree> {
        Ok(Supervisor::tree("web"))
    }
}

async fn refused<C: DeserializeOwned + Send + Sync + 'static>(configuration: Configuration) -> String {
    let applications = Node::new("test").applications();
    applications.configure(configuration).unwrap();
    applications.load(App::new(Bare::<C>(PhantomData))).await.unwrap_err().to_string()
}

/// Whatever the type is made of, the key is that of the file, and the file is named.
#[tokio::test]
async fn a_faulty_key_is_named_as_it_is_written_wherever_it_is() {
    let file = |text: &str| File::new(&format!("deep-{}", text.len()), text);
    for (text, expected) in [
        ("[web.limits]\nmax = 1\nmix = 2", "unknown key `web.limits.mix` in FILE"),
        (
            "[[web.servers]]\nmax = 1\n[[web.servers]]\nmax = 1\nmix = 2",
            "unknown key `web.servers.1.mix` in FILE",
        ),
        ("[web.level.tab]\nmax = 1\nmix = 2", "unknown key `web.level.tab.mix` in FILE"),
        ("[web.level.wrap]\nmax = 1\nmix = 2", "unknown key `web.level.wrap.mix` in FILE"),
        ("[web.named.'x.y']\nmax = 1\nmix = 2", "unknown key `web.named.\"x.y\".mix` in FILE"),
        ("[web]\n'a.b' = 1", "unknown key `web.\"a.b\"` in FILE"),
        ("[web]\n'' = 1", "unknown key `web.\"\"` in FILE"),
    ] {
        let file = file(text);
        let line = refused::<Deep>(Configuration::new().file(&file.0)).await;
        assert_eq!(line.replace(&file.0.display().to_string(), "FILE"), expected);
    }
    let file = file("[web]\nmax = 1\nmix = 2");
    let line = refused::<Whole>(Configuration::new().file(&file.0)).await;
    assert_eq!(line.replace(&file.0.display().to_string(), "FILE"), "unknown key `web.mix` in FILE");
    let of = async |configuration| refused::<Deep>(configuration).await;
    let limits = Configuration::new().argument("web.limits.max=1");
    let mixed = variable("WEB__LIMITS__MIX", "1");
    assert_eq!(
        of(limits.environment(mixed)).await,
        "unknown key `web.limits.mix` in environment variable WEB__LIMITS__MIX"
    );
    assert_eq!(
        of(Configuration::new().argument("web..a=1")).await,
        "unknown key `web.\"\"` in argument web..a"
    );
    // Of a flattened value serde does not tell which it is: the sources are named.
    let flat = refused::<Flat>(Configuration::new().argument("web.max=x")).await;
    assert!(flat.contains("argument web.max"), "{flat}");
}

#[tokio::test]
async fn what_cannot_be_a_value_is_refused_and_a_secret_is_not_shown_twice() {
    let secret = refused::<Deep>(Configuration::new().argument("web.limits=hunter2")).await;
    assert_eq!(secret.matches("hunter2").count(), 1, "{secret}");
    let garbled = std::ffi::OsStr::from_bytes(b"\xff");
    let garbled = [(std::ffi::OsStr::new("WEB__LIMITS"), garbled)];
    assert_eq!(
        refused::<Deep>(Configuration::new().environment(garbled)).await,
        "`web.limits` in environment variable WEB__LIMITS: it is no Unicode"
    );
    let deep = format!("WEB{}", "__A".repeat(10_000));
    let line = refused::<Deep>(Configuration::new().environment(variable(&deep, "1"))).await;
    assert!(line.ends_with("nested deeper than 32 tables"), "{line}");
}
