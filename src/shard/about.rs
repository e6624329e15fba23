//! What a member says of itself to the others, beside its lease.

use std::fmt;
use std::str::FromStr;

use incarnate_shards::Wires;

/// It is a text, in which a reader passes over what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// The releases whose bytes it reads.
    pub(super) reads: Wires,
    /// It has drained, and is given nothing any more.
    pub(super) leaves: bool,
    /// What it has heard, or said, of the release that is wanted.
    pub(super) pin: Pin,
}

/// In which release copies are to be written at most. Of several the one with the highest count is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pin {
    pub(super) count: u64,
    /// `None`: in the highest that all read.
    pub(super) release: Option<u32>,
}

impl About {
    pub(super) fn of(lowest: u32, highest: u32) -> Self {
        About { reads: Wires { lowest, highest }, leaves: false, pin: Pin::default() }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reads {}..={}", self.reads.lowest, self.reads.highest)?;
        match self.pin {
            Pin { count: 0, .. } => {}
            Pin { count, release: Some(release) } => write!(f, "; pin {count}={release}")?,
            Pin { count, release: None } => write!(f, "; pin {count}=")?,
        }
        if self.leaves { f.write_str("; leaves") } else { Ok(()) }
    }
}

impl FromStr for About {
    type Err = ();

    fn from_str(about: &str) -> Result<Self, ()> {
        let mut parts = about.split("; ");
        let reads = parts.next().and_then(|reads| reads.strip_prefix("reads ")?.split_once("..="));
        let (lowest, highest) = reads.ok_or(())?;
        let mut about = About::of(number(lowest)?, number(highest)?);
        for part in parts {
            match part.split_once(' ') {
                None if part == "leaves" => about.leaves = true,
                Some(("pin", pin)) => {
                    let (count, release) = pin.split_once('=').ok_or(())?;
                    let release = if release.is_empty() { None } else { Some(number(release)?) };
                    about.pin = Pin { count: number(count)?, release };
                }
                _ => {}
            }
        }
        Ok(about)
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, ()> {
    text.parse().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read() {
        for pin in [(0, None), (3, None), (4, Some(2))] {
            let (count, release) = pin;
            for leaves in [false, true] {
                let about = About { leaves, pin: Pin { count, release }, ..About::of(1, 7) };
                assert_eq!(about.to_string().parse(), Ok(about), "{about}");
            }
        }
        assert_eq!(
            "reads 1..=2; sings; pin 2=1; of 3".parse(),
            Ok(About { pin: Pin { count: 2, release: Some(1) }, ..About::of(1, 2) })
        );
        for wrong in ["", "reads", "reads 1", "reads 1..=x", "reads 1..=2; pin 3", "reads 1..=2; pin x=1"] {
            assert_eq!(wrong.parse::<About>(), Err(()), "{wrong}");
        }
    }
}
