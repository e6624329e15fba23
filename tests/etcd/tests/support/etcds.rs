//! Etcds that run as programs, each with a folder and ports of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::shard::authority::{Authority, Etcd, ShardId};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::in_time;

/// An etcd of some members. Dropped, it is killed and its folder removed.
pub struct Etcds {
    folder: PathBuf,
    ports: Vec<Ports>,
    processes: Vec<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
}

/// The authority at these addresses.
pub async fn client(addresses: &[String], timeout: Duration) -> Etcd {
    let urls: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    Etcd::connect(&urls, "test").await.unwrap().timeout(timeout)
}

impl Etcds {
    /// Starts them and waits until they serve.
    pub async fn start(members: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("incarnate-etcd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let ports = free_ports(members);
        let processes = (0..members).map(|at| run(&folder, &ports, at)).collect();
        let etcds = Etcds { folder, ports, processes };
        etcds.serve().await;
        etcds
    }

    /// Where clients reach one.
    pub fn address(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.ports[at].client)
    }

    pub fn kill(&mut self, at: usize) {
        self.processes[at].kill().unwrap();
        self.processes[at].wait().unwrap();
    }

    /// It runs again, on its data, and all serve.
    pub async fn restart(&mut self, at: usize) {
        self.processes[at] = run(&self.folder, &self.ports, at);
        self.serve().await;
    }

    pub fn signal(&self, at: usize, signal: Signal) {
        let pid = Pid::from_raw(self.processes[at].id().try_into().unwrap());
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Writes a row by hand.
    pub async fn put(&self, key: &str, value: &str) {
        let mut client = self.raw().await;
        in_time(client.put(key, value, None)).await.unwrap();
    }

    /// Reads one.
    pub async fn get(&self, key: &str) -> Option<String> {
        let mut client = self.raw().await;
        let answer = in_time(client.get(key, None)).await.unwrap();
        answer.kvs().first().map(|row| row.value_str().unwrap().to_owned())
    }

    /// Forgets what was before the newest revision.
    pub async fn compact(&self) {
        let mut client = self.raw().await;
        let status = in_time(client.get("/", None)).await.unwrap();
        in_time(client.compact(status.header().unwrap().revision(), None)).await.unwrap();
    }

    async fn raw(&self) -> etcd_client::Client {
        in_time(etcd_client::Client::connect([self.address(0)], None)).await.unwrap()
    }

    async fn serve(&self) {
        for at in 0..self.ports.len() {
            let client = client(&[self.address(at)], Duration::from_millis(500)).await;
            in_time(async { while client.read(ShardId(0)).await.is_err() {} }).await;
        }
    }
}

impl Drop for Etcds {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have been killed before.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn run(folder: &Path, ports: &[Ports], at: usize) -> Child {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let cluster: Vec<_> =
        ports.iter().enumerate().map(|(at, ports)| format!("m{at}={}", url(ports.peer))).collect();
    let data = folder.join(format!("m{at}"));
    let (client, peer) = (url(ports[at].client), url(ports[at].peer));
    Command::new("etcd")
        .args(["--name", &format!("m{at}"), "--data-dir", data.to_str().unwrap()])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &cluster.join(",")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd can be run")
}

/// Ports that nobody listens at. All are held until the last is found, so that none is found twice.
fn free_ports(members: usize) -> Vec<Ports> {
    let listen = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let held: Vec<_> = (0..2 * members).map(listen).collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    held.chunks(2).map(|two| Ports { client: port(&two[0]), peer: port(&two[1]) }).collect()
}
