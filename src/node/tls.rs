//! TLS: nodes prove who they are by certificates, and nobody else reads what they say.
//!
//! The handshake of a connection that was accepted belongs to its stream, which goes on with it whenever it is read. So it is
//! one task that waits for it, as long as the handshake of the nodes may take, and it counts among the strangers.

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, ClientConfig, InvalidMessage, RootCertStore, ServerConfig};
use tokio_rustls::{Accept, TlsAcceptor, TlsConnector, TlsStream};

use super::transport::{Listener, Pending, Stream, Transport, dial, without_delay};

/// Mutual TLS over TCP (`inet_tls_dist`): both sides show a certificate, and neither takes one that none of its certificate
/// authorities has signed. TLS 1.3 only. Cheap to clone.
///
/// What is verified, by whoever is shown a certificate: who has signed it, its period of validity, and that it may be used
/// for this, `serverAuth` where it is dialled and `clientAuth` where it dials, if it is limited at all. Who dials verifies
/// besides that it is for the host of the address: a DNS name or an IP address among the subject's alternative names; see
/// [`server_name`](Self::server_name). The name of the node is not looked for in it, and a list of revoked certificates is
/// not asked. The cookie must be right all the same.
///
/// Each connection has a whole handshake: none is resumed, so a certificate that has expired opens no new one. Those that are
/// open stay. Feature `tls`.
///
/// ```no_run
/// use incarnate::Node;
/// use incarnate::node::{Cookie, Distribution, Tls};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::from_files("ca.pem", "node.pem", "node.key")?;
/// let node = Node::new("a");
/// let cookie = Cookie::new("a secret of sixteen bytes or more");
/// let distribution = Distribution::of(&node, cookie).listen("0.0.0.0:4370").transport(tls).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

/// Why there is no [`Tls`] of what was given: where, and what is wrong there.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// What is wanted is not there.
    Missing {
        /// The file, or what it would hold.
        place: String,
        /// What is wanted.
        wanted: &'static str,
        /// What is there, by the labels of PEM.
        found: Vec<String>,
    },
    /// What is there cannot be used.
    Unusable {
        /// The file, or what it would hold.
        place: String,
        /// Why.
        why: String,
    },
    /// Neither a DNS name nor an IP address.
    BadName(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Unreadable(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            TlsError::Missing { place, wanted, found } if found.is_empty() => {
                write!(f, "{place} holds no {wanted}, nor anything else in PEM")
            }
            TlsError::Missing { place, wanted, found } => {
                write!(f, "{place} holds no {wanted}; it holds {}", found.join(", "))
            }
            TlsError::Unusable { place, why } => write!(f, "{place} cannot be used: {why}"),
            TlsError::BadName(name) => write!(f, "`{name}` is neither a DNS name nor an IP address"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Unreadable(_, error) => Some(error),
            _ => None,
        }
    }
}

impl Tls {
    /// From PEM files: the certificates of the authorities that sign the nodes' (`cacertfile`), this node's certificate and
    /// behind it those between it and an authority (`certfile`), and its private key, not encrypted (`keyfile`). They are
    /// read once, here, by blocking calls.
    ///
    /// # Errors
    /// See [`TlsError`]: it names the file.
    pub fn from_files(
        authorities: impl AsRef<Path>,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Tls, TlsError> {
        Self::new(&Given::file(authorities)?, &Given::file(chain)?, &Given::file(key)?)
    }

    /// As [`from_files`](Self::from_files), from the texts of such files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn from_pem(
        authorities: impl AsRef<[u8]>,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Tls, TlsError> {
        let given = |place: &str, pem: &[u8]| Given { place: place.into(), pem: pem.into() };
        Self::new(
            &given("the text of the authorities", authorities.as_ref()),
            &given("the text of the certificate chain", chain.as_ref()),
            &given("the text of the private key", key.as_ref()),
        )
    }

    /// The certificate of whoever is dialled is for this name, whatever the address is: for nodes that are dialled at
    /// addresses that their certificates do not name. Then any of those certificates will do for any of the nodes.
    ///
    /// # Errors
    /// [`TlsError::BadName`].
    pub fn server_name(mut self, name: &str) -> Result<Tls, TlsError> {
        let parsed = ServerName::try_from(name).map_err(|_| TlsError::BadName(name.into()))?;
        self.name = Some(parsed.to_owned());
        Ok(self)
    }

    fn new(authorities: &Given, chain: &Given, key: &Given) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in authorities.certificates()? {
            roots.add(certificate).map_err(|error| authorities.unusable(error))?;
        }
        let roots = Arc::new(roots);
        let own = Arc::new(SingleCertAndKey::from(own(chain, key, &provider)?));
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let clients = clients.build().map_err(|error| authorities.unusable(error))?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
        let servers = servers.build().map_err(|error| authorities.unusable(error))?;
        let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]);
        let server = server.map_err(|error| key.unusable(error))?;
        let mut server = server.with_client_cert_verifier(clients).with_cert_resolver(own.clone());
        server.send_tls13_tickets = 0;
        let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let client = client.map_err(|error| key.unusable(error))?;
        let mut client = client.with_webpki_verifier(servers).with_client_cert_resolver(own);
        client.resumption = Resumption::disabled();
        let (acceptor, connector) = (Arc::new(server).into(), Arc::new(client).into());
        Ok(Tls { acceptor, connector, name: None })
    }
}

/// A text in PEM, and where it is from.
struct Given {
    place: String,
    pem: Vec<u8>,
}

impl Given {
    fn file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let pem = fs::read(path).map_err(|error| TlsError::Unreadable(path.into(), error))?;
        Ok(Given { place: path.display().to_string(), pem })
    }

    fn unusable(&self, why: impl fmt::Display) -> TlsError {
        TlsError::Unusable { place: self.place.clone(), why: why.to_string() }
    }

    fn missing(&self, wanted: &'static str) -> TlsError {
        let text = String::from_utf8_lossy(&self.pem);
        let labels = text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN "));
        let found = labels.map(|label| label.trim_end_matches('-').to_owned()).collect();
        TlsError::Missing { place: self.place.clone(), wanted, found }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.pem).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.missing("CERTIFICATE")),
            found => found.map_err(|error| self.unusable(error)),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.pem).map_err(|error| match error {
            pem::Error::NoItemsFound => self.missing("PRIVATE KEY"),
            error => self.unusable(error),
        })
    }
}

/// What this node shows of itself.
fn own(chain: &Given, key: &Given, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let secret = provider.key_provider.load_private_key(key.key()?).map_err(|error| key.unusable(error))?;
    let own = CertifiedKey::new(chain.certificates()?, secret);
    own.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            chain.unusable(format_args!("its first certificate is not for the key of {}", key.place))
        }
        error => chain.unusable(error),
    })?;
    Ok(own)
}

/// The host of an address such as `host:4370` or `[::1]:4370`, as a certificate names it.
fn host(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let bad = |_| io::Error::new(io::ErrorKind::InvalidInput, TlsError::BadName(host.into()).to_string());
    Ok(ServerName::try_from(host).map_err(bad)?.to_owned())
}

impl Transport for Tls {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let name = match &self.name {
                Some(name) => name.clone(),
                None => host(to)?,
            };
            let stream = dial(to).await?;
            let stream = self.connector.connect(name, stream).await.map_err(named)?;
            Ok(Box::new(Shaking::Done(Box::new(stream.into()))) as Box<dyn Stream>)
        })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let accepts = Accepts { listener: TcpListener::bind(at).await?, acceptor: self.acceptor.clone() };
            Ok(Box::new(accepts) as Box<dyn Listener>)
        })
    }

    fn encrypts(&self) -> bool {
        true
    }
}

struct Accepts {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Accepts {
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            let accept = self.acceptor.accept(without_delay(stream)?);
            Ok(Box::new(Shaking::Begun(Box::new(accept))) as Box<dyn Stream>)
        })
    }

    fn address(&self) -> String {
        self.listener.address()
    }
}

/// Says of an error of TLS that it is one, and what the commonest means.
fn named(error: io::Error) -> io::Error {
    let why = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = match why {
        Some(why @ rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            format!("TLS: the other side does not speak it ({why})")
        }
        Some(why) => format!("TLS: {why}"),
        None => return error,
    };
    io::Error::new(error.kind(), text)
}

/// A stream whose handshake may not be over yet.
enum Shaking {
    Begun(Box<Accept<TcpStream>>),
    Done(Box<TlsStream<TcpStream>>),
    /// It failed, or was given up: the connection is closed.
    Over,
}

impl Shaking {
    /// Goes on with the handshake; ready when it is over.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let Shaking::Begun(accept) = self {
            match ready!(Pin::new(accept).poll(cx)) {
                Ok(stream) => *self = Shaking::Done(Box::new(stream.into())),
                Err(error) => {
                    *self = Shaking::Over;
                    return Poll::Ready(Err(named(error)));
                }
            }
        }
        match self {
            Shaking::Done(stream) => Poll::Ready(Ok(Pin::new(stream))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Shaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_done(cx))?.poll_read(cx, into).map_err(named)
    }
}

impl AsyncWrite for Shaking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_done(cx))?.poll_write(cx, bytes).map_err(named)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_done(cx))?.poll_flush(cx).map_err(named)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Shaking::Done(stream) => Pin::new(stream).poll_shutdown(cx).map_err(named),
            // Nothing can be said on it, not even goodbye.
            _ => {
                *self = Shaking::Over;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_what_the_certificate_names() {
        for (address, wanted) in [
            ("example.org:4370", Some("example.org")),
            ("localhost", Some("localhost")),
            ("127.0.0.1:4370", Some("127.0.0.1")),
            ("[::1]:4370", Some("::1")),
            ("two words:4370", None),
            (":4370", None),
        ] {
            let found = host(address).ok().map(|name| name.to_str().into_owned());
            assert_eq!(found.as_deref(), wanted, "{address}");
        }
    }
}
