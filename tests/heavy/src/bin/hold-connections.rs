//! Opens connections to a port, sends half a request on each, says so, and holds them until its input ends.
//!
//! `hold-connections PORT COUNT`

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, getrlimit, setrlimit};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, count] = &arguments[..] else { return Err("hold-connections PORT COUNT".into()) };
    let (port, count): (u16, usize) = (port.parse()?, count.parse()?);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"*3\r\n$3\r\nSET\r\n$7\r\nhal")?;
        held.push(stream);
    }
    println!("{count}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
