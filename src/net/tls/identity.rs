//! Certificates, keys and roots, from files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};

use super::TlsError;
use crate::net::key::open_secret;

/// How many bytes a file has at most: all authorities of the world are a fifth of that.
const LONGEST: u64 = 1 << 20;

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";

/// What a server shows to those who connect to a `tls:` address: its certificate, and that it has the key of it.
///
/// Clones share one copy of the key. An authority of one's own, and a certificate that it signs, are made so:
///
/// ```text
/// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
///     -subj /CN=jobs-authority -keyout ca-key.pem -out ca.pem
/// openssl req -x509 -CA ca.pem -CAkey ca-key.pem -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 \
///     -subj /CN=jobs -addext subjectAltName=DNS:jobs.example.org -addext basicConstraints=critical,CA:FALSE \
///     -keyout cert-key.pem -out cert.pem
/// ```
#[derive(Clone)]
pub struct TlsIdentity(pub(super) Arc<ServerConfig>);

/// Who is trusted to vouch for servers at `tls:` addresses; the authorities of the system are not, unless their file is given.
#[derive(Clone)]
pub struct TlsRoots(pub(super) Arc<ClientConfig>);

impl TlsIdentity {
    /// The certificates in one file (the server's own first, then who signed it, and so on), and the private key of the first in another;
    /// both PEM.
    ///
    /// # Errors
    ///
    /// [`TlsError::Key`] if others can read or change the file of the key; [`TlsError::Mismatch`], [`TlsError::Pem`], [`TlsError::Io`].
    ///
    /// ```no_run
    /// use procshare::manager::{Key, Server, TlsIdentity};
    ///
    /// # fn main() -> procshare::manager::ManagerResult<()> {
    /// let identity = TlsIdentity::from_files("/etc/jobs/cert.pem", "/etc/jobs/cert-key.pem")?;
    /// let server = Server::builder()
    ///     .address("tls:0.0.0.0:7070".parse()?)
    ///     .key(Key::from_file("/etc/jobs/key")?)
    ///     .tls(identity)
    ///     .bind()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let certificates = certificates(chain)?;
        let secret = open_secret(key)?;
        let bytes = read(secret, key, PRIVATE_KEY)?;
        let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|bad| unfit(PRIVATE_KEY, key, bad))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
            .map_err(|error| match error {
                Error::InconsistentKeys(_) => TlsError::Mismatch { chain: name(chain), key: name(key) },
                Error::InvalidCertificate(_) => useless(CERTIFICATE, chain, error.to_string()),
                other => useless(PRIVATE_KEY, key, other.to_string()),
            })?;
        // Every connection shows the certificate anew: nothing is kept of those that have ended.
        config.send_tls13_tickets = 0;
        Ok(TlsIdentity(Arc::new(config)))
    }
}

impl TlsRoots {
    /// All certificates in a PEM file: of authorities, or of one server that signed its own.
    ///
    /// # Errors
    ///
    /// [`TlsError::Pem`], [`TlsError::Io`].
    ///
    /// ```no_run
    /// use procshare::manager::{Key, Manager, TlsRoots};
    ///
    /// # fn main() -> procshare::manager::ManagerResult<()> {
    /// let manager = Manager::builder()
    ///     .roots(TlsRoots::from_file("/etc/jobs/ca.pem")?)
    ///     .key(Key::from_file("/etc/jobs/key")?)
    ///     .connect(&"tls:jobs.example.org:7070".parse()?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| useless(CERTIFICATE, path, error.to_string()))?;
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| useless(CERTIFICATE, path, error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(TlsRoots(Arc::new(config)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn useless(wanted: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError::Pem { wanted, path: name(path), reason }
}

fn unfit(wanted: &'static str, path: &Path, error: pem::Error) -> TlsError {
    match error {
        pem::Error::NoItemsFound => useless(wanted, path, "there is none in it".into()),
        other => useless(wanted, path, other.to_string()),
    }
}

/// All certificates of a file: one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Io { wanted: CERTIFICATE, path: name(path), source };
    let bytes = read(File::open(path).map_err(failed)?, path, CERTIFICATE)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(unfit(CERTIFICATE, path, pem::Error::NoItemsFound)),
        Ok(found) => Ok(found),
        Err(error) => Err(unfit(CERTIFICATE, path, error)),
    }
}

fn read(file: File, path: &Path, wanted: &'static str) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Io { wanted, path: name(path), source };
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than a mebibyte")));
    }
    Ok(bytes)
}

/// Says nothing of the key.
impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(..)")
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsRoots(..)")
    }
}
