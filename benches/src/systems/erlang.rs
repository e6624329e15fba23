//! Erlang/OTP: `benches/erlang/bench.erl`, compiled at run time, one `erl` per measurement.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use super::{Sample, System, support};
use crate::{
    peer::{Peer, free_port},
    workload::Workload,
};

/// The system by the name of Erlang/OTP.
pub struct Erlang {
    /// How long a measurement repeats its run.
    pub time: Duration,
}

const SOURCE: &str = include_str!("../../erlang/bench.erl");

/// Where the compiled module is; the runner compiles once and its children find it by this variable.
pub const DIRECTORY: &str = "INCARNATE_BENCH_BEAM";

/// Whether `erl` and `erlc` can be started. Asked once.
pub fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        ["erl", "erlc"].iter().all(|name| {
            env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|at| at.join(name).is_file()))
        })
    })
}

/// Compiles the module and gives the directory it is in, which the caller removes in the end.
pub fn compile() -> PathBuf {
    let directory = env::temp_dir().join(format!("incarnate-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a temporary directory");
    let source = directory.join("bench.erl");
    fs::write(&source, SOURCE).expect("the temporary directory takes a file");
    let erlc = Command::new("erlc").arg("-o").arg(&directory).arg(&source).output().expect("erlc starts");
    assert!(erlc.status.success(), "erlc: {}", String::from_utf8_lossy(&erlc.stdout));
    directory
}

impl Erlang {
    fn measure(&self, workload: Workload, n: u64) -> Option<Sample> {
        let directory = env::var_os(DIRECTORY).map(PathBuf::from);
        let compiled = directory.clone().unwrap_or_else(compile);
        let pair = workload.is_remote().then(|| Pair::start(&compiled));
        let mut erl = erl(&compiled);
        if let Some(pair) = &pair {
            be_node(&mut erl, &pair.port, "a");
            erl.args(["-dist_listen", "false", "-peer", &name(&pair.port, "b")]);
        }
        let measured = erl
            .args(["-run", "bench", "main", workload.name(), &n.to_string()])
            .arg(self.time.as_millis().to_string())
            .stdin(Stdio::null())
            .output()
            .expect("erl starts");
        if directory.is_none() {
            let _ = fs::remove_dir_all(compiled);
        }
        support::read(workload, &measured)
    }
}

fn erl(compiled: &Path) -> Command {
    let mut erl = Command::new("erl");
    erl.args(["-noshell", "+P", "1048576", "-pa"]).arg(compiled);
    erl
}

/// Two nodes, `a` and `b`, of which `b` is up. They find each other by the port that both are told, so that no epmd is
/// needed, none is started, and none is asked that may run for others.
struct Pair {
    port: String,
    _b: Peer,
}

impl Pair {
    fn start(compiled: &Path) -> Self {
        let port = free_port().expect("a free port").to_string();
        let mut b = erl(compiled);
        be_node(&mut b, &port, "b");
        b.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        let peer = Peer::start(b.args(["-run", "bench", "peer"])).expect("the other erl starts");
        Pair { port, _b: peer }
    }
}

/// The name of a node, which nobody else on this machine has.
fn name(port: &str, node: &str) -> String {
    format!("incarnate-bench-{node}-{port}@127.0.0.1")
}

/// Has `erl` be the node.
fn be_node(erl: &mut Command, port: &str, node: &str) {
    erl.args(["-name", &name(port, node), "-setcookie", &format!("incarnate-bench-{port}")]);
    erl.args(["-connect_all", "false", "-start_epmd", "false", "-erl_epmd_port", port]);
}

impl System for Erlang {
    fn repeats_itself(&self, _: Workload) -> bool {
        true
    }
    fn cast(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Cast, n)
    }
    fn call(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Call, n)
    }
    fn call_no_timeout(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::CallNoTimeout, n)
    }
    fn call_crowd(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::CallCrowd, n)
    }
    fn call_pairs(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::CallPairs, n)
    }
    fn ring(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Ring, n)
    }
    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::SpawnSequential, n)
    }
    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::SpawnConcurrent, n)
    }
    fn restart_err(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::RestartErr, n)
    }
    fn restart_panic(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::RestartPanic, n)
    }
    fn fanout(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Fanout, n)
    }
    fn one_death(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::OneDeath, n)
    }
    fn one_death_spread(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::OneDeathSpread, n)
    }
    fn remote(&self, workload: Workload, n: u64) -> Option<Sample> {
        self.measure(workload, n)
    }
    fn memory_idle(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::MemoryIdle, n)
    }
    fn memory_hibernated(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::MemoryHibernated, n)
    }
}
