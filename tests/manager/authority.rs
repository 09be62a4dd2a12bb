//! Certificates, made when they are needed, in files that go with their owner.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use procshare::manager::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::support::{Running, key, path, run};

/// Where the servers of the tests are, as certificates have it.
pub(crate) const HOSTS: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// Somebody who signs certificates, and a directory for them.
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The files of a certificate and of its key.
pub(crate) struct Pair {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let directory = path(name);
        fs::create_dir(&directory).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(directory.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        secret(&directory.join("ca-key.pem"), &key.serialize_pem());
        Authority { directory, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn roots(&self) -> TlsRoots {
        TlsRoots::from_file(self.file("ca.pem")).unwrap()
    }

    /// A certificate for these hosts, good in these years.
    pub(crate) fn certify(&self, name: &str, hosts: &[&str], years: std::ops::Range<i32>) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.into()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let pair =
            Pair { chain: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}-key.pem")) };
        fs::write(&pair.chain, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        secret(&pair.key, &key.serialize_pem());
        pair
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Pair {
    pub(crate) fn identity(&self) -> TlsIdentity {
        TlsIdentity::from_files(&self.chain, &self.key).unwrap()
    }
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The identity of the tests' servers, and the roots of their clients; the files have gone.
pub(crate) fn usual() -> &'static (TlsIdentity, TlsRoots) {
    static USUAL: OnceLock<(TlsIdentity, TlsRoots)> = OnceLock::new();
    USUAL.get_or_init(|| {
        let authority = Authority::new("usual");
        (authority.certify("server", &HOSTS, 2020..2120).identity(), authority.roots())
    })
}

pub(crate) fn tls() -> Running {
    tls_limited(Limits::default())
}

pub(crate) fn tls_limited(limits: Limits) -> Running {
    let (identity, _) = usual().clone();
    run(Server::builder().address("tls:127.0.0.1:0".parse().unwrap()).key(key()).tls(identity).limits(limits))
}

/// How clients connect to such a server.
pub(crate) fn connector() -> Connector {
    Manager::builder().key(key()).roots(usual().1.clone())
}

/// Host and port.
pub(crate) fn place(server: &Running) -> String {
    let Address::Tls(place) = &server.address else { panic!("{}", server.address) };
    place.clone()
}

/// A client of TLS that is none of a manager's: its handshake has been done, and it believes everybody.
pub(crate) fn shake_hands(server: &Running) -> (rustls::ClientConnection, TcpStream) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut wire = TcpStream::connect(place(server)).unwrap();
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(&mut wire).unwrap();
    }
    (tls, wire)
}

#[derive(Debug)]
struct Credulous(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
