//! Whether a server can be reached, without waiting for long.

use std::{
    net::{TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long to wait for a name and a connection together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Opens a connection to the server of a web address; the time it took, or why not.
///
/// # Errors
/// A few words.
pub fn connect(address: &str) -> Result<Duration, String> {
    let (host, port) = host_and_port(address).ok_or("not a web address")?;
    let (sender, receiver) = mpsc::channel();
    let begun = Instant::now();
    // Looking a name up cannot be given a time limit, so it gets a thread that may be left behind.
    let spawned = thread::Builder::new().name("doctor".into()).spawn(move || {
        let _ = sender.send(attempt(&host, port));
    });
    spawned.map_err(|error| error.to_string())?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome.map(|()| begun.elapsed()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn attempt(host: &str, port: u16) -> Result<(), String> {
    let mut last = "the name has no address".to_owned();
    for address in (host, port).to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (scheme, rest) = address.split_once("://")?;
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let pair = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(host_and_port("https://hub.example"), pair("hub.example", 443));
        assert_eq!(host_and_port("http://127.0.0.1:8080/x"), pair("127.0.0.1", 8080));
        assert_eq!(host_and_port("http://[::1]:9/"), pair("::1", 9));
        assert_eq!(host_and_port("https://[::1]"), pair("::1", 443));
        assert_eq!(host_and_port("ftp://x"), None);
        assert_eq!(host_and_port("https://"), None);
    }

    #[test]
    fn a_listener_is_reached_and_a_closed_port_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(connect(&format!("http://127.0.0.1:{port}")).is_ok());
        drop(listener);
        assert!(connect(&format!("http://127.0.0.1:{port}")).is_err());
    }
}
