//! The other process of the operating system, of the workloads that have one.

use std::{
    io::{self, BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

/// The other process. It has a pipe for its standard input, and is to end when that does: so it ends with this one,
/// however that comes about.
#[derive(Debug)]
pub struct Peer {
    process: Child,
    /// The first line that it has said.
    pub said: String,
}

impl Peer {
    /// Starts it, and waits for the line by which it says that it is ready.
    pub fn start(command: &mut Command) -> io::Result<Peer> {
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut peer = Peer { process, said: String::new() };
        if let Some(output) = peer.process.stdout.take() {
            BufReader::new(output).read_line(&mut peer.said)?;
        }
        match peer.said.pop() {
            Some('\n') => Ok(peer),
            _ => Err(io::Error::other("the other process ended before it was ready")),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A port of the loopback address that nobody has just now, for those who cannot tell which one they got.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
