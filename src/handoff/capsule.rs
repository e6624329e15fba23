//! The capsule: the one form in which state leaves an incarnation.
//!
//! - Who it is, which code and which version stand beside the state and can be read without it.
//! - The state, messages and answers inside are terms: opaque here, read only by the module that they belong to.
//! - Its bytes begin with a mark, the number of their format and their length, so that what is no capsule, one of
//!   another format, one that is cut short and one that is damaged are told apart.
//! - A format never changes. A field more is a format more: what a format does not know is refused, not passed over.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::version::{StateVersion, upgrade, versions};
use super::{ChangeError, ModuleVsn};
use crate::term::{Pid, Term, TimerRef, check_shape};

/// What the bytes of a capsule begin with. No MessagePack begins with 0xc1, and no text holds it.
const MARK: [u8; 8] = *b"\xc1capsule";

/// The number of the format that is written here, and the only one that is read.
const FORMAT: u16 = 1;

/// The mark, the format in 2 bytes and the length of the rest in 8, the highest first.
const HEAD: usize = MARK.len() + 2 + 8;

/// All that one incarnation of a process hands over to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capsule {
    /// The process: what stays.
    pub identity: Pid,
    /// Which incarnation leaves. The next one has a higher epoch; what an older one still says is refused by it.
    pub epoch: u64,
    /// The module and the version that the state is of.
    pub module: ModuleVsn,
    /// The state, as [`encode`](super::encode) writes it.
    pub state: Term,
    /// The timers that run.
    pub timers: Vec<CapsuleTimer>,
    /// Requests that were answered lately, for clients that ask again.
    pub answered: Vec<Answered>,
    /// What waits in the mailbox, the oldest first.
    pub mailbox: Vec<Unread>,
}

/// A timer that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapsuleTimer {
    /// What the process knows it by.
    pub reference: TimerRef,
    /// How long it still runs. On the wire in nanoseconds; more than 584 years are 584 years.
    #[serde(with = "nanoseconds")]
    pub remaining: Duration,
    /// What arrives when it expires.
    pub message: Term,
}

/// A request that was answered, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The client's session.
    pub session: (u64, u64),
    /// The number of the request in it.
    pub sequence: u64,
    /// What was answered.
    pub answer: Term,
}

/// A message that was not taken out of the mailbox yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// The version of the messages that it is one of.
    pub vsn: u32,
    /// What kind of message.
    pub kind: UnreadKind,
    /// The message.
    pub message: Term,
    /// Where the answer goes, for a request whose message does not say so itself.
    pub request: Option<Term>,
}

/// The kinds of message, as the callbacks of a server tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnreadKind {
    /// A request that awaits an answer.
    Call,
    /// A request that does not.
    Cast,
    /// A plain message.
    Info,
}

/// The body of format 1. It is a mirror, so that a capsule serialises in no other way than behind its mark.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Capsule", deny_unknown_fields)]
struct Body {
    identity: Pid,
    epoch: u64,
    module: ModuleVsn,
    state: Term,
    timers: Vec<CapsuleTimer>,
    answered: Vec<Answered>,
    mailbox: Vec<Unread>,
}

impl Capsule {
    /// A capsule without timers, answers and messages.
    pub fn new(identity: Pid, epoch: u64, module: ModuleVsn, state: Term) -> Self {
        Capsule { identity, epoch, module, state, timers: vec![], answered: vec![], mailbox: vec![] }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`CapsuleError::TooLarge`]: a term of 4 GiB or more is in it.
    pub fn encode(&self) -> Result<Vec<u8>, CapsuleError> {
        let mut bytes = [&MARK[..], &FORMAT.to_be_bytes(), &[0; 8]].concat();
        Body::serialize(self, &mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
            .map_err(|_| CapsuleError::TooLarge)?;
        // The encoder cuts a length that does not fit; what it wrote then is no longer one value.
        check_shape(&bytes[HEAD..]).map_err(|_| CapsuleError::TooLarge)?;
        let length = (bytes.len() - HEAD) as u64;
        bytes[HEAD - 8..HEAD].copy_from_slice(&length.to_be_bytes());
        Ok(bytes)
    }

    /// Reads a capsule. The bytes may come from anywhere and be anything.
    ///
    /// # Errors
    /// See [`CapsuleError`]. Nothing is read in part.
    pub fn decode(bytes: &[u8]) -> Result<Self, CapsuleError> {
        let body = body(bytes)?;
        check_shape(body).map_err(|flaw| CapsuleError::Malformed(flaw.to_string()))?;
        Body::deserialize(&mut rmp_serde::Deserializer::from_read_ref(body))
            .map_err(|e| CapsuleError::Malformed(e.to_string()))
    }

    /// Reads the state and walks it up to `S`. `module` is the name of the module that asks.
    ///
    /// # Errors
    /// The state is another module's, of a version that is not understood, no state at all, or a step refused.
    pub fn open<S: StateVersion>(&self, module: &str, extra: &Term) -> Result<S, ChangeError> {
        if self.module.module() != module {
            return Err(ChangeError::ForeignModule {
                found: self.module.clone(),
                understood: module.to_owned(),
                versions: versions::<S>(),
            });
        }
        upgrade(self.module.vsn(), &self.state, extra).map_err(|e| e.of_module(module))
    }
}

impl Unread {
    /// Reads the message and walks it up to `M`, the messages of this kind that the new code takes.
    ///
    /// # Errors
    /// As those of [`upgrade`]: it is a dead letter.
    pub fn open<M: StateVersion>(&self, extra: &Term) -> Result<M, ChangeError> {
        upgrade(self.vsn, &self.message, extra)
    }
}

/// What stands behind the head, all of it and nothing more.
fn body(bytes: &[u8]) -> Result<&[u8], CapsuleError> {
    let found = bytes.len() as u64;
    let truncated = |wanted| CapsuleError::Truncated { found, wanted };
    let shown = &bytes[..bytes.len().min(MARK.len())];
    if !MARK.starts_with(shown) {
        return Err(CapsuleError::NoCapsule { found: shown.to_vec() });
    }
    let (format, rest) =
        bytes.get(MARK.len()..).and_then(<[u8]>::split_first_chunk).ok_or(truncated(HEAD as u64))?;
    // Before anything else: only what is in front of it is the same in each format.
    let format = u16::from_be_bytes(*format);
    if format != FORMAT {
        return Err(CapsuleError::UnknownFormat { found: format, understood: FORMAT });
    }
    let (length, rest) = rest.split_first_chunk().ok_or(truncated(HEAD as u64))?;
    let length = u64::from_be_bytes(*length);
    let there = rest.len() as u64;
    match there.checked_sub(length) {
        None => Err(truncated((HEAD as u64).saturating_add(length))),
        Some(0) => Ok(rest),
        Some(extra) => Err(CapsuleError::Trailing { extra }),
    }
}

/// Why bytes are not a capsule. Whoever handed them over still has what they were made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CapsuleError {
    /// They do not begin as a capsule does.
    NoCapsule {
        /// What they begin with, at most 8 bytes.
        found: Vec<u8>,
    },
    /// It is of another format.
    UnknownFormat {
        /// The format that it is of.
        found: u16,
        /// The one that is understood.
        understood: u16,
    },
    /// It is cut short.
    Truncated {
        /// How many bytes there are.
        found: u64,
        /// How many there must be at least.
        wanted: u64,
    },
    /// Something follows it.
    Trailing {
        /// How many bytes.
        extra: u64,
    },
    /// What is in it is not what belongs into a capsule of this format.
    Malformed(String),
    /// Something in it has no place in this format: a term of 4 GiB or more.
    TooLarge,
}

impl fmt::Display for CapsuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CapsuleError::NoCapsule { found } => {
                let mark = MARK.escape_ascii();
                write!(f, "no capsule: it begins with \"{}\" and not with \"{mark}\"", found.escape_ascii())
            }
            CapsuleError::UnknownFormat { found, understood } => {
                write!(f, "a capsule of format {found}, understood is format {understood}")
            }
            CapsuleError::Truncated { found, wanted } => {
                write!(f, "a capsule that is cut short: found {found} bytes of at least {wanted}")
            }
            CapsuleError::Trailing { extra } => write!(f, "a capsule with {extra} bytes behind it"),
            CapsuleError::Malformed(why) => write!(f, "a damaged capsule of format {FORMAT}: {why}"),
            CapsuleError::TooLarge => {
                f.write_str("a capsule with a term of 4 GiB or more, which has no format")
            }
        }
    }
}

impl std::error::Error for CapsuleError {}

/// A duration as one number.
mod nanoseconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_nanos().try_into().unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Never, NodeId};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Key(String);

    impl StateVersion for Key {
        const VSN: u32 = 1;
        type Previous = Never;
    }

    fn empty() -> Capsule {
        let state = Term::encode(&Key("a".into())).unwrap();
        Capsule::new(Pid::new(NodeId::of("a@host"), 1, 42), 3, ModuleVsn::new("key", 1), state)
    }

    fn full() -> Capsule {
        let timer = |number, remaining| CapsuleTimer {
            reference: TimerRef { expires: 1_000, number },
            remaining,
            message: Term::from("tick"),
        };
        let unread =
            |kind, request| Unread { vsn: 2, kind, message: Term::encode(&("add", 1)).unwrap(), request };
        Capsule {
            timers: vec![timer(1, Duration::ZERO), timer(2, Duration::from_millis(1_500))],
            answered: vec![Answered { session: (1, u64::MAX), sequence: 9, answer: Term::from("ok") }],
            mailbox: vec![
                unread(UnreadKind::Call, Some(Term::from("caller"))),
                unread(UnreadKind::Cast, None),
                unread(UnreadKind::Info, None),
            ],
            ..empty()
        }
    }

    /// The bytes with this behind the head, whose length is right.
    fn with_body(body: &[u8]) -> Vec<u8> {
        [&MARK[..], &FORMAT.to_be_bytes(), &(body.len() as u64).to_be_bytes(), body].concat()
    }

    #[test]
    fn a_capsule_comes_back_as_it_went() {
        for capsule in [empty(), full()] {
            assert_eq!(Capsule::decode(&capsule.encode().unwrap()), Ok(capsule));
        }
    }

    #[test]
    fn what_is_no_capsule_is_told_from_one_that_is_not_understood() {
        let bytes = full().encode().unwrap();
        let with = |at: usize, byte| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            bytes
        };
        for (bytes, says) in [
            (
                b"GET / HTTP/1.1\r\n".to_vec(),
                r#"no capsule: it begins with "GET / HT" and not with "\xc1capsule""#,
            ),
            (b"{".to_vec(), r#"no capsule: it begins with "{" and not with "\xc1capsule""#),
            (with(0, 0xc0), r#"no capsule: it begins with "\xc0capsule" and not with "\xc1capsule""#),
            (Vec::new(), "a capsule that is cut short: found 0 bytes of at least 18"),
            (bytes[..9].to_vec(), "a capsule that is cut short: found 9 bytes of at least 18"),
            (bytes[..17].to_vec(), "a capsule that is cut short: found 17 bytes of at least 18"),
            (with(9, 2), "a capsule of format 2, understood is format 1"),
            (with(9, 2)[..10].to_vec(), "a capsule of format 2, understood is format 1"),
            (with(9, 0), "a capsule of format 0, understood is format 1"),
            ([&bytes[..], b"abc"].concat(), "a capsule with 3 bytes behind it"),
            (with_body(b""), "a damaged capsule of format 1: the bytes end before the value does"),
            (with_body(b"\xc0\xc0"), "a damaged capsule of format 1: 1 bytes follow the value"),
            (with_body(b"\xc1"), "a damaged capsule of format 1: the byte c1 begins no value"),
            (with_body(b"\x80"), "a damaged capsule of format 1: missing field `identity`"),
        ] {
            assert_eq!(Capsule::decode(&bytes).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn a_capsule_that_is_cut_short_says_how_much_is_missing() {
        let bytes = full().encode().unwrap();
        let wanted = bytes.len() as u64;
        for end in HEAD..bytes.len() {
            let error = CapsuleError::Truncated { found: end as u64, wanted };
            assert_eq!(Capsule::decode(&bytes[..end]), Err(error));
        }
        let mut endless = bytes.clone();
        endless[HEAD - 8..HEAD].fill(0xff);
        let error = CapsuleError::Truncated { found: wanted, wanted: u64::MAX };
        assert_eq!(Capsule::decode(&endless), Err(error));
    }

    #[test]
    fn neither_depth_nor_promises_harm_who_reads() {
        let deep = "a damaged capsule of format 1: it nests deeper than 128 levels";
        for body in [vec![0x91; 1_000_000], b"\x81\xa5state".repeat(1_000_000)] {
            assert_eq!(Capsule::decode(&with_body(&body)).unwrap_err().to_string(), deep);
        }
        let short = "a damaged capsule of format 1: the bytes end before the value does";
        for body in
            [&b"\x81\xa7mailbox\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
        {
            assert_eq!(Capsule::decode(&with_body(body)).unwrap_err().to_string(), short);
        }
    }

    #[test]
    fn a_field_that_the_format_does_not_know_is_refused() {
        #[derive(Serialize)]
        struct Newer {
            #[serde(flatten, with = "Body")]
            capsule: Capsule,
            colour: u8,
        }

        let mut body = Vec::new();
        let newer = Newer { capsule: empty(), colour: 7 };
        newer.serialize(&mut rmp_serde::Serializer::new(&mut body).with_struct_map()).unwrap();
        let error = Capsule::decode(&with_body(&body)).unwrap_err();
        assert!(error.to_string().contains("unknown field `colour`"), "{error}");
    }

    #[test]
    fn a_capsule_opens_for_its_module_and_in_its_versions() {
        let mut capsule = empty();
        assert_eq!(capsule.open::<Key>("key", &Term::nil()), Ok(Key("a".into())));
        let foreign = capsule.open::<Key>("list", &Term::nil()).unwrap_err();
        let says = "the state is key@1, understood is list in version 1; the old version goes on";
        assert_eq!(foreign.to_string(), says);
        capsule.module = ModuleVsn::new("key", 4);
        let unknown = capsule.open::<Key>("key", &Term::nil()).unwrap_err();
        let says = "key@4 is unknown, understood is key in version 1; the old version goes on";
        assert_eq!(unknown.to_string(), says);
        capsule.module = ModuleVsn::new("key", 1);
        capsule.state = Term::encode(&7).unwrap();
        let damaged = capsule.open::<Key>("key", &Term::nil()).unwrap_err();
        assert!(matches!(damaged, ChangeError::Undecodable { vsn: 1, .. }), "{damaged}");
    }

    #[test]
    fn an_unread_message_opens_in_its_version() {
        let mut unread = Unread { vsn: 1, kind: UnreadKind::Cast, message: Term::from("a"), request: None };
        assert_eq!(unread.open::<Key>(&Term::nil()), Ok(Key("a".into())));
        unread.vsn = 2;
        assert!(matches!(
            unread.open::<Key>(&Term::nil()),
            Err(ChangeError::UnknownVersion { found: 2, .. })
        ));
    }

    #[test]
    fn a_timer_that_would_outlast_the_number_is_cut() {
        let mut capsule = full();
        capsule.timers[0].remaining = Duration::MAX;
        let again = Capsule::decode(&capsule.encode().unwrap()).unwrap();
        assert_eq!(again.timers[0].remaining, Duration::from_nanos(u64::MAX));
    }
}
