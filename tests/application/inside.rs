//! What processes know of the application that they belong to, and what everybody can read of it.

use std::sync::Arc;

use incarnate::application::{
    App, Application, Configuration, Spec, StartType, config, get_application, get_env, get_key,
};
use incarnate::supervisor::ChildSpec;
use incarnate::{Error, Node, Process, Result, Supervisor, Task, Tree};
use serde::Deserialize;
use tokio::sync::mpsc;

#[derive(Debug, Deserialize, PartialEq)]
struct Config {
    start: i64,
    limits: Limits,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Limits {
    max: u8,
}

/// An application whose worker says what it knows of it.
struct Knowing(mpsc::UnboundedSender<String>);

impl Application for Knowing {
    type Config = Config;

    fn spec(&self) -> Spec {
        Spec::new("knowing", "2.1.0")
            .description("knows itself")
            .start_phases(["go"])
            .env("start = 5\nlimits = { max = 9 }")
    }

    async fn start(&self, _: Arc<Config>) -> Result<Tree> {
        let tell = self.0.clone();
        // Below a supervisor, and in a task that it starts.
        let worker = ChildSpec::worker("worker", move || {
            let tell = tell.clone();
            async move {
                let task = Task::spawn(async { said() });
                tell.send(task.await?).map_err(|_| Error::msg("the test is over"))?;
                let me = incarnate::Me::current().unwrap();
                Ok::<_, Error>(me.spawn_link(|_: Process<()>| std::future::pending::<()>()))
            }
        });
        self.0.send(said()).map_err(|_| Error::msg("the test is over"))?;
        Ok(Supervisor::tree("top").child(worker))
    }
}

/// What the process whose code asks knows.
fn said() -> String {
    let typed = config::<Config>().map(|config| (config.start, config.limits.max));
    let start: Option<i64> = get_env("start").unwrap();
    let gone: Option<i64> = get_env("gone").unwrap();
    format!("{:?} {:?} {typed:?} {start:?} {gone:?}", get_application(), get_key().map(|key| key.vsn()))
}

async fn knowing() -> (Node, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let node = Node::new("test");
    let applications = node.applications();
    applications.configure(Configuration::new().argument("knowing.start=6")).unwrap();
    applications.load(App::new(Knowing(tell))).await.unwrap();
    (node, told)
}

#[tokio::test(start_paused = true)]
async fn app_036_every_key_is_readable_and_from_inside_without_a_name() {
    let (node, mut told) = knowing().await;
    let key = node.applications().get_key("knowing").unwrap();
    assert_eq!((key.name(), key.vsn(), key.get_description()), ("knowing", "2.1.0", "knows itself"));
    assert_eq!((key.get_applications(), key.get_start_phases()), (&[""; 0][..], &["go"][..]));
    assert_eq!(key.get_env(), "start = 5\nlimits = { max = 9 }");
    assert_eq!(node.applications().get_key("gone"), None);

    node.applications().start("knowing", StartType::Temporary).await.unwrap();
    for _ in 0..2 {
        let expected = r#"Some("knowing") Some("2.1.0") Some((6, 9)) Some(6) None"#;
        assert_eq!(told.recv().await.unwrap(), expected);
    }
    // Outside of it there is none: in no process, and in a process of the node's.
    assert_eq!(said(), "None None None None None");
    let other = Task::spawn_on(&node, async { said() }).await.unwrap();
    assert_eq!(other, "None None None None None");
}

#[tokio::test(start_paused = true)]
async fn app_037_get_env_present_absent_absent_application_and_default() {
    let (node, _told) = knowing().await;
    let applications = node.applications();
    assert_eq!(applications.get_env("knowing", "start"), Ok(Some(6)));
    assert_eq!(applications.get_env("knowing", "limits.max"), Ok(Some(9u8)));
    assert_eq!(applications.get_env::<i64>("knowing", "gone"), Ok(None));
    assert_eq!(applications.get_env::<i64>("gone", "start"), Ok(None));
    assert_eq!(applications.get_env("knowing", "gone").unwrap().unwrap_or(7), 7);
    let wrong = applications.get_env::<String>("knowing", "start").unwrap_err();
    let line =
        "`knowing.start` in argument knowing.start: invalid type: found signed int `6`, expected a string";
    assert_eq!(wrong.to_string(), line);
    let typed = applications.config::<Config>("knowing").unwrap();
    assert_eq!(*typed, Config { start: 6, limits: Limits { max: 9 } });
    assert!(applications.config::<u8>("knowing").is_none());
    assert!(applications.config::<Config>("gone").is_none());
}
