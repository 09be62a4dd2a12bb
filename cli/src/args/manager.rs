//! What can be said of managers: how to run one, and how to connect to one.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use procshare::manager::Transport;

/// Run a manager: a server that keeps dicts, lists, locks and queues for clients of any language
///
/// Over a Unix socket it lets in processes of the same user; with a key, whoever knows it. TCP needs a key, and so does TLS, which
/// needs a certificate as well, and a command that was built with the feature 'tls'. Objects live as long as the server, which
/// ends on SIGTERM and SIGINT.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  procshare serve /run/user/1000/jobs.sock
  head -c 32 /dev/urandom | base64 > key && chmod 600 key
  procshare serve /tmp/jobs.sock --ring 0         sockets only
  procshare serve tcp:0.0.0.0:7070 --key-file key --memory 4096 --log info
  procshare serve tls:0.0.0.0:7070 --key-file key --cert cert.pem --cert-key cert-key.pem")]
pub(crate) struct Serve {
    /// Where to listen: unix:/path, a path with a slash, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<procshare::manager::Address>,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    /// The file with the certificate that is shown at tls: addresses, and those of who signed it: PEM
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    pub(crate) cert: Option<PathBuf>,

    /// The file with the certificate's private key: PEM; only its owner may have rights on it
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) cert_key: Option<PathBuf>,

    /// How many clients may be connected at once
    #[arg(long, value_name = "N")]
    pub(crate) clients: Option<usize>,

    /// How much may be stored, in MiB
    #[arg(long, value_name = "MIB")]
    pub(crate) memory: Option<usize>,

    /// How many objects there may be
    #[arg(long, value_name = "N")]
    pub(crate) objects: Option<usize>,

    /// How long a call and an answer may be, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) frame: Option<u16>,

    /// The bytes of each of the two rings that a client on this machine calls through: a power of two from 4096 to 67108864; 0: all
    /// use the socket
    #[arg(long, value_name = "BYTES", value_parser = parse_ring)]
    pub(crate) ring: Option<usize>,

    /// After how many seconds of silence a client is ended
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle: Option<u64>,

    /// How many seconds what a client holds is kept for it after its TCP connection was cut
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lost: Option<u64>,

    /// Write a log to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<tracing_subscriber::filter::LevelFilter>,

    /// Print one JSON object with the addresses
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which key to show, and to ask for.
#[derive(ClapArgs)]
pub(crate) struct KeyArgs {
    /// The file with the key; only its owner may have rights on it
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    pub(crate) key_file: Option<PathBuf>,

    /// The environment variable with the key
    #[arg(long, value_name = "NAME")]
    pub(crate) key_env: Option<String>,
}

/// How to connect to a manager.
#[derive(ClapArgs)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,

    /// The file with the certificates of who may vouch for a manager at a tls: address: PEM
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "manager")]
    pub(crate) ca: Option<PathBuf>,

    /// By what calls to the manager travel: auto, ring or socket
    #[arg(long, value_name = "HOW", requires = "manager", default_value_t = Transport::Auto)]
    pub(crate) transport: Transport,
}

fn parse_ring(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Ok(0),
        Ok(size @ 0x1000..=0x400_0000) if usize::is_power_of_two(size) => Ok(size),
        _ => Err("a ring has a power of two of bytes, from 4096 to 67108864, or 0: none".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_have_a_size_that_they_can_have() {
        for (text, size) in [("0", 0), ("4096", 4096), ("65536", 65_536), ("67108864", 64 << 20)] {
            assert_eq!(parse_ring(text), Ok(size));
        }
        for text in ["", "-1", "1", "2048", "4097", "134217728", "64k"] {
            assert!(parse_ring(text).is_err(), "{text}");
        }
    }
}
