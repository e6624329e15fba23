//! A service: an application with configuration. It greets until it is told to stop.
//!
//! Run it with `cargo run --example application`, and end it with ctrl-c. Then try `GREETER__GREETING=Hi`, and a typo:
//! `cargo run --example application -- greeter.evry_ms=500`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use incarnate::application::Spec;
use incarnate::supervisor::{ChildSpec, Supervisor};
use incarnate::{
    App, Application, CallReply, Context, ExitReason, GenServer, Info, Init, Never, Next, Result, Run, Tree,
    noreply,
};
use serde::Deserialize;

/// What it is configured with. A key that is missing, misspelt or of another type is found before anything starts.
#[derive(Deserialize)]
struct Config {
    greeting: String,
    every_ms: u64,
}

struct Greeter;

impl Application for Greeter {
    type Config = Config;

    fn spec(&self) -> Spec {
        Spec::new("greeter", env!("CARGO_PKG_VERSION"))
            .description("greets now and then")
            .env("greeting = 'Hello'\nevery_ms = 1000")
    }

    async fn start(&self, config: Arc<Config>) -> Result<Tree> {
        let voice = ChildSpec::worker("voice", move || Voice::start_link(config.clone()));
        Ok(Supervisor::tree("greeter").child(voice))
    }

    async fn stop(&self) {
        println!("the greeter has stopped");
    }
}

struct Voice(Arc<Config>);

impl GenServer for Voice {
    type Args = Arc<Config>;
    type Call = Never;
    type Cast = Never;
    type Info = ();
    type Continue = Never;

    async fn init(config: Arc<Config>, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        cx.event_timeout(Duration::ZERO, ());
        Ok(Init::Ready(Voice(config)))
    }
    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }
    async fn handle_info(&mut self, _: Info<()>, cx: &mut Context<Self>) -> Result<Next> {
        println!("{}", self.0.greeting);
        cx.event_timeout(Duration::from_millis(self.0.every_ms), ());
        noreply()
    }
    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> Result<()> {
        println!("the voice ends: {reason}");
        Ok(())
    }
}

/// Public, so that a test can run it as it is.
pub fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).filter(|argument| argument.contains('='));
    Run::new(App::new(Greeter)).environment().arguments(arguments).main()
}
