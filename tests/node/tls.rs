//! Nodes over TLS: as over TCP, but nobody reads along, and who has no certificate is refused by name on both sides.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use incarnate::node::{
    Cookie, Distribution, Listener, NotConnected, Pending, Stream, Tcp, Tls, TlsError, Transport,
};
use incarnate::process::CallError;
use incarnate::{
    CallReply, Context, ExitReason, GenServer, Init, Name, Never, Node, ReplyTo, Result, Timeout,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tracing::Level;

use crate::authority::{Authority, Signed};
use crate::basics::{COUNTER, Call, Cast, counter};
use crate::pair::{COOKIE, Pair, distribution};
use crate::probe::{Probe, node};
use crate::reports::{Report, Reports};
use crate::wait::in_time;

/// Gives back what it is given.
struct Echo;

#[derive(Serialize, Deserialize)]
struct Say(String, ReplyTo<String>);

const ECHO: Name<Say> = Name::new("echo");

impl GenServer for Echo {
    type Args = ();
    type Call = Say;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Echo))
    }

    async fn handle_call(&mut self, Say(what, caller): Say, _: &mut Context<Self>) -> Result<CallReply> {
        caller.reply(what)
    }
}

async fn echo(pair: &Pair) {
    Echo::server(()).name(ECHO).on(&pair.a).start().await.unwrap();
    pair.on_a.expose(ECHO);
}

#[tokio::test]
async fn nodes_over_tls_call_watch_and_lose_each_other() {
    let authority = Authority::new();
    let pair = Pair::connected_by(authority.tls(), authority.tls()).await;
    counter(&pair.a).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id());
    for round in 0..2 {
        assert_eq!(there.call(|to| Call::Add(2, to)).await, Ok(5 * round + 2));
        there.cast(Cast::Add(3));
        let mut b = Probe::<u32>::new(&pair.b);
        let a = Probe::<u32>::new(&pair.a);
        let watched = pair.over(&a.process).await;
        b.run(move |me| me.monitor(&watched)).await;
        let waiting = there.send_request(Call::Never);
        assert_eq!(there.call(|to| Call::Add(0, to)).await, Ok(5 * round + 5));
        pair.cut().await;
        assert_eq!(b.next_down().await.reason, ExitReason::NoConnection);
        let lost = in_time(waiting.receive(Timeout::Infinity)).await;
        assert_eq!(lost, Err(CallError::Exit(ExitReason::NoConnection)));
        pair.connect().await;
    }
}

/// More than any buffer on the way, in both directions at once.
#[tokio::test]
async fn large_messages_pass_over_tls() {
    const SIZE: usize = 6 << 20;
    let authority = Authority::new();
    let pair = Pair::connected_by(authority.tls(), authority.tls()).await;
    echo(&pair).await;
    let there = ECHO.at(&pair.b, pair.a.id());
    let texts = ["a", "b", "c", "d"].map(|letter| letter.repeat(SIZE));
    let waiting: Vec<_> = texts.iter().map(|text| there.send_request(|to| Say(text.clone(), to))).collect();
    for (text, waiting) in texts.iter().zip(waiting) {
        let answer = in_time(waiting.receive(Timeout::Infinity)).await.unwrap();
        assert!(answer == *text, "{} bytes of {:?}", answer.len(), &answer[..1]);
    }
    // Nothing is kept back at the end, however much it was.
    for size in (0..200).map(|n| n * 331) {
        let answer = in_time(there.call(|to| Say("x".repeat(size), to))).await;
        assert_eq!(answer.map(|answer| answer.len()), Ok(size));
    }
}

/// Stands between two nodes, writes down what passes, and changes some of it when told to.
struct Relay {
    address: String,
    passed: Arc<Mutex<Vec<u8>>>,
    changes: Arc<AtomicBool>,
}

impl Relay {
    async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (passed, changes) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicBool>::default());
        let relay = Relay {
            address: listener.local_addr().unwrap().to_string(),
            passed: passed.clone(),
            changes: changes.clone(),
        };
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&target).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                    let (passed, changes) = (passed.clone(), changes.clone());
                    tokio::spawn(async move {
                        let mut bytes = vec![0; 64 << 10];
                        while let Ok(n @ 1..) = from.read(&mut bytes).await {
                            passed.lock().unwrap().extend_from_slice(&bytes[..n]);
                            if changes.load(Ordering::SeqCst) {
                                bytes[n - 1] ^= 1;
                            }
                            if to.write_all(&bytes[..n]).await.is_err() {
                                break;
                            }
                        }
                    });
                }
            }
        });
        relay
    }

    /// What two nodes say to each other through it.
    async fn between(a: impl Transport, b: impl Transport) -> (Pair, Relay) {
        let pair = Pair::started(a, b).await;
        let relay = Relay::to(pair.on_a.address().unwrap()).await;
        in_time(pair.on_b.connect(&relay.address)).await.unwrap();
        echo(&pair).await;
        (pair, relay)
    }

    fn saw(&self, text: &str) -> bool {
        self.passed.lock().unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }
}

#[tokio::test]
async fn who_stands_between_reads_nothing_and_changes_nothing() {
    const SECRET: &str = "nobody else is to know";
    let ask = async |pair: &Pair| {
        let there = ECHO.at(&pair.b, pair.a.id());
        assert_eq!(in_time(there.call(|to| Say(SECRET.into(), to))).await, Ok(SECRET.to_owned()));
    };
    let (plain, relay) = Relay::between(Tcp, Tcp).await;
    ask(&plain).await;
    assert!(relay.saw(SECRET) && relay.saw("incarnate"));

    let authority = Authority::new();
    let (secret, relay) = Relay::between(authority.tls(), authority.tls()).await;
    ask(&secret).await;
    assert!(!relay.saw(SECRET) && !relay.saw("incarnate"));
    let reports = Reports::record();
    relay.changes.store(true, Ordering::SeqCst);
    let _lost = ECHO.at(&secret.b, secret.a.id()).send_request(|to| Say(SECRET.into(), to));
    let first = in_time(async {
        loop {
            if let Some(first) = reports.take().into_iter().next() {
                return first;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(secret.on_a.nodes().is_empty() || secret.on_b.nodes().is_empty());
    assert_eq!(first.field("message"), "node down");
    let why = first.field("why");
    assert!(why.starts_with("BadFrame") && why.contains("cannot decrypt peer's message"), "{why}");
}

/// What is heard of an attempt to connect that fails: by who dials, as an error, and by who listens, as a warning.
async fn refused(listens: impl Transport, dials: impl Transport) -> (NotConnected, String) {
    let reports = Reports::record();
    let pair = Pair::started(listens, dials).await;
    let began = Instant::now();
    let error = in_time(pair.on_b.connect(pair.on_a.address().unwrap())).await.unwrap_err();
    let mut heard = Vec::new();
    in_time(async {
        while !heard.iter().any(|it: &Report| it.fields["peer"] == "somebody") {
            tokio::task::yield_now().await;
            heard.extend(reports.take());
        }
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5), "it was left to a deadline");
    // Said by both, so that it is in the logs of a node that is only told to keep connected, too.
    assert!(heard.iter().any(|it| it.fields["peer"] != "somebody"), "{heard:?}");
    assert!(heard.iter().all(|it| it.field("message") == "connection refused"), "{heard:?}");
    assert_eq!((pair.on_a.nodes(), pair.on_b.nodes()), (vec![], vec![]));
    let warned = heard.iter().find(|it| it.fields["peer"] == "somebody").unwrap();
    (error, warned.field("why").to_owned())
}

/// Refused by TLS: the texts that are in what the one hears who dials, and who listens.
async fn refused_by_tls(listens: Tls, dials: impl Transport, heard: &str, warned: &str) {
    let (error, warning) = refused(listens, dials).await;
    assert!(
        matches!(&error, NotConnected::Unreachable(why) if why.starts_with("TLS: ") && why.contains(heard)),
        "{error}, wanted {heard}"
    );
    assert!(warning.contains("TLS: ") && warning.contains(warned), "{warning}, wanted {warned}");
}

const HERE: &[&str] = &["127.0.0.1"];

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
}

fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(4090, 1, 1);
}

fn only_to_listen(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
}

#[tokio::test]
async fn who_dials_with_a_bad_certificate_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::named("another authority"));
    let of_theirs = theirs.sign(HERE, |_| ());
    refused_by_tls(ours.tls(), ours.tls_with(of_theirs), "UnknownCA", "UnknownIssuer").await;
    let own = ours.sign(HERE, expired);
    refused_by_tls(ours.tls(), ours.tls_with(own), "CertificateExpired", "certificate expired").await;
    let own = ours.sign(HERE, not_yet_valid);
    refused_by_tls(ours.tls(), ours.tls_with(own), "CertificateExpired", "not valid yet").await;
    let own = ours.sign(HERE, only_to_listen);
    refused_by_tls(ours.tls(), ours.tls_with(own), "fatal alert", "extended key usage").await;
    // For whatever host: who dials comes from anywhere.
    let own = ours.sign(&["other.example"], |_| ());
    Pair::connected_by(ours.tls(), ours.tls_with(own)).await;
}

#[tokio::test]
async fn who_listens_with_a_bad_certificate_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::named("another authority"));
    let of_theirs = theirs.sign(HERE, |_| ());
    refused_by_tls(ours.tls_with(of_theirs), ours.tls(), "UnknownIssuer", "UnknownCA").await;
    let own = ours.sign(HERE, expired);
    refused_by_tls(ours.tls_with(own), ours.tls(), "certificate expired", "CertificateExpired").await;
    let own = ours.sign(&["other.example", "127.0.0.2"], |_| ());
    refused_by_tls(ours.tls_with(own), ours.tls(), "not valid for name \"127.0.0.1\"", "BadCertificate")
        .await;
}

#[tokio::test]
async fn a_name_may_be_expected_instead_of_the_host_of_the_address() {
    let authority = Authority::new();
    let own = || authority.tls_with(authority.sign(&["nodes.example"], |_| ()));
    refused_by_tls(own(), own(), "not valid for name", "BadCertificate").await;
    Pair::connected_by(own(), own().server_name("nodes.example").unwrap()).await;
    let other = own().server_name("other.example").unwrap();
    refused_by_tls(own(), other, "not valid for name \"other.example\"", "BadCertificate").await;
    let error = own().server_name("no name").unwrap_err();
    assert_eq!(error.to_string(), "`no name` is neither a DNS name nor an IP address");
}

/// Speaks TLS, but is no node.
struct Client(TlsConnector);

impl Client {
    fn new(authority: &Authority, own: Option<Signed>) -> Self {
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&authority.pem())).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![certificate(&own.chain)], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        Client(Arc::new(config).into())
    }
}

impl Transport for Client {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            Ok(Box::new(self.0.connect(name, TcpStream::connect(to).await?).await?) as Box<dyn Stream>)
        })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Tcp.listen(at)
    }
}

#[tokio::test]
async fn who_has_no_certificate_is_refused() {
    let authority = Authority::new();
    let (error, warning) = refused(authority.tls(), Client::new(&authority, None)).await;
    assert_eq!(error, NotConnected::Unreachable("received fatal alert: CertificateRequired".into()));
    assert_eq!(warning, "what answers there is no node: TLS: peer sent no certificates");
}

#[tokio::test]
async fn who_has_a_certificate_and_says_nonsense_is_told_so_before_the_end() {
    let authority = Authority::new();
    let here = distribution(&node()).transport(authority.tls()).start().await.unwrap();
    let client = Client::new(&authority, Some(authority.sign(HERE, |_| ())));
    let mut stream = client.connect(here.address().unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // An end without a word would be an error here: somebody else might have cut it short.
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("a frame of 1195725856 bytes, at most 4096"), "{text}");
}

#[tokio::test]
async fn a_certificate_is_no_cookie() {
    let authority = Authority::new();
    let (a, b) = (Node::new("a"), Node::new("b"));
    let here = distribution(&a).transport(authority.tls()).start().await.unwrap();
    let there = Distribution::of(&b, Cookie::new("another cookie")).transport(authority.tls());
    let there = there.start().await.unwrap();
    let error = in_time(there.connect(here.address().unwrap())).await.unwrap_err();
    assert_eq!(error.to_string(), "refused: the cookies differ");
}

#[tokio::test]
async fn tls_and_plain_tell_each_other_apart() {
    let authority = Authority::new();
    let (error, warning) = refused(authority.tls(), Tcp).await;
    assert_eq!(
        error.to_string(),
        "refused: what answers there is no node: TLS, which this node does not speak"
    );
    assert!(warning.contains("TLS: the other side does not speak it"), "{warning}");
    let (error, warning) = refused(Tcp, authority.tls()).await;
    let NotConnected::Unreachable(why) = &error else { panic!("{error}") };
    assert!(why.starts_with("TLS: the other side does not speak it"), "{why}");
    assert_eq!(warning, "what answers there is no node: TLS, which this node does not speak");
}

#[tokio::test]
async fn garbage_is_hung_up_on() {
    let reports = Reports::record();
    let here = distribution(&node()).transport(Authority::new().tls()).start().await.unwrap();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 5],
        &[255; 4000],
        // A ClientHello of no bytes, one cut short in a record of its own, and a record that is too long.
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0, 4, 1, 0, 0, 0],
        &[22, 3, 1, 255, 255, 1],
    ] {
        let mut stream = TcpStream::connect(here.address().unwrap()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let _reset = in_time(stream.read_to_end(&mut answer)).await;
        // No more than an alert.
        assert!(answer.len() <= 7, "{garbage:?}: {answer:?}");
        let [report] = &reports.take()[..] else { panic!("{garbage:?}: not told once") };
        assert!(report.field("why").contains("TLS: "), "{report:?}");
    }
    assert!(here.nodes().is_empty());
}

#[tokio::test]
async fn who_stalls_in_a_handshake_keeps_nobody_waiting_and_is_closed() {
    let authority = Authority::new();
    let pair = Pair::started(authority.tls(), authority.tls()).await;
    let mut stalled = Vec::new();
    // Nothing, the head of a record, and half of one.
    for begun in [&[][..], &[22, 3, 1, 1, 0], &[22, 3, 1, 1, 0, 1, 0, 0, 200, 3, 3]] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(pair.on_a.address().unwrap()).await.unwrap();
            stream.write_all(begun).await.unwrap();
            stalled.push(stream);
        }
    }
    let began = Instant::now();
    pair.connect().await;
    assert!(began.elapsed() < Duration::from_secs(4));
    pair.cut().await;
    // From here on the deadline comes as soon as nothing else happens.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    for mut stream in stalled {
        let read = stream.read(&mut [0]).await;
        assert!(matches!(read, Ok(0)) || read.is_err(), "{read:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_dialled_and_says_nothing_is_given_up() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = Distribution::of(&node(), Cookie::new(COOKIE)).transport(Authority::new().tls());
    let here = here.start().await.unwrap();
    let to = mute.local_addr().unwrap().to_string();
    assert_eq!(here.connect(to).await, Err(NotConnected::Timeout));
    let (mut stream, _) = mute.accept().await.unwrap();
    let mut hello = Vec::new();
    stream.read_to_end(&mut hello).await.unwrap();
    assert_eq!(hello.first(), Some(&22), "TLS begins with a handshake record");
}

#[tokio::test]
async fn a_node_that_others_can_read_says_so_and_one_with_tls_does_not() {
    let reports = Reports::record();
    let start = || Distribution::of(&node(), Cookie::new(COOKIE)).listen("0.0.0.0:0");
    start().transport(Authority::new().tls()).start().await.unwrap();
    assert_eq!(reports.targets(), [""; 0]);
    start().start().await.unwrap();
    let [warning] = &reports.take()[..] else { panic!("not said once") };
    assert!(warning.field("message").starts_with("listens without encryption"), "{warning:?}");
    assert_eq!(warning.level, Level::WARN);
}

#[test]
fn what_cannot_be_used_is_named_with_what_was_found_there() {
    let folder = std::env::temp_dir().join(format!("incarnate-tls-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let authority = Authority::new();
    let Signed { chain, key } = authority.sign(HERE, |_| ());
    let other = authority.sign(HERE, |_| ());
    let ca = file("ca.pem", &authority.pem());
    let (chain, key) = (file("node.pem", &chain), file("node.key", &key));
    let locked = file(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let other_key = file("other.key", &other.key);
    let cut = file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let false_ca = file("false.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let empty = file("empty.pem", "");
    Tls::from_files(&ca, &chain, &key).unwrap();
    let absent = folder.join("absent.pem");
    for (ca, chain, key, at, says) in [
        (&absent, &chain, &key, "absent.pem", "cannot be read: No such file"),
        (&empty, &chain, &key, "empty.pem", "holds no CERTIFICATE, nor anything else in PEM"),
        (&key, &chain, &key, "node.key", "holds no CERTIFICATE; it holds PRIVATE KEY"),
        (&false_ca, &chain, &key, "false.pem", "cannot be used: invalid peer certificate: BadEncoding"),
        (&ca, &cut, &key, "cut.pem", "cannot be used: "),
        (&ca, &chain, &chain, "node.pem", "holds no PRIVATE KEY; it holds CERTIFICATE"),
        (&ca, &chain, &locked, "locked.key", "holds no PRIVATE KEY; it holds ENCRYPTED PRIVATE KEY"),
        (&ca, &chain, &other_key, "node.pem", "its first certificate is not for the key of"),
    ] {
        let error = Tls::from_files(ca, chain, key).unwrap_err();
        let text = error.to_string();
        let named = folder.join(at).display().to_string();
        assert!(text.starts_with(&named) && text.contains(says), "{text}, wanted {at}: {says}");
        assert_eq!(matches!(error, TlsError::Unreadable(..)), at == "absent.pem");
    }
    fs::remove_dir_all(folder).unwrap();
}
