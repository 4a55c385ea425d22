//! As much of HTTP/1.1 as it takes to see whether something answers.

use std::io::{Read, Write};
use std::time::Duration;

use super::{Miss, connect};
use crate::error::{Error, Result};

/// The longest status line that is read, in bytes.
const LONGEST: u64 = 4096;

/// A URL of plain HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// The host and port as the server is told.
    authority: String,
    /// The host and port to connect to.
    address: String,
    /// What is asked for.
    path: String,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is not one of plain HTTP.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(Error::playbook(format!("`{url}`: only `http://` can be asked"))
                .hint("for TLS, `command: [\"curl\", \"-fsS\", …]` asks with the host's own program"));
        };
        let wrong = || Error::playbook(format!("`{url}` is not a URL"));
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '@';
        if authority.is_empty()
            || authority.contains(odd)
            || path.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(wrong());
        }
        let bare = authority.ends_with(']') || !authority.contains(':');
        let address = if bare { format!("{authority}:80") } else { authority.to_owned() };
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        port.and_then(std::result::Result::ok).ok_or_else(wrong)?;
        Ok(Self { authority: authority.to_owned(), address, path: path.to_owned() })
    }
}

/// The status with which a GET is answered, or why there is none.
pub(super) fn get(url: &Url, limit: Duration) -> Result<u16, Miss> {
    let mut stream = connect(&url.address, limit)?;
    let text = |e: std::io::Error| Miss::of(&e, limit);
    stream.set_read_timeout(Some(limit)).map_err(text)?;
    stream.set_write_timeout(Some(limit)).map_err(text)?;
    let request =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mk\r\nConnection: close\r\n\r\n", url.path, url.authority);
    stream.write_all(request.as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    let mut stream = stream.take(LONGEST);
    let mut buffer = [0; 512];
    while !answer.contains(&b'\n') {
        match stream.read(&mut buffer).map_err(text)? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    status(&String::from_utf8_lossy(&answer)).ok_or_else(|| Miss::new("what answers does not speak HTTP"))
}

/// The status in an answer's first line.
fn status(answer: &str) -> Option<u16> {
    let mut words = answer.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |url| Url::parse(url).map(|url| (url.address, url.path)).map_err(|e| e.to_string());
        assert_eq!(parts("http://a.example"), Ok(("a.example:80".into(), "/".into())));
        assert_eq!(parts("http://127.0.0.1:2381/health?x=1"), Ok(("127.0.0.1:2381".into(), "/health?x=1".into())));
        assert_eq!(parts("http://[::1]/"), Ok(("[::1]:80".into(), "/".into())));
        for wrong in ["ftp://a", "http://", "http://a:b/", "http://a/b c", "http://u:p@a/"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn statuses_are_read() {
        assert_eq!(status("HTTP/1.1 204 No Content\r\nX: y\r\n"), Some(204));
        assert_eq!((status("SSH-2.0-OpenSSH_9.2\r\n"), status("")), (None, None));
    }

    #[test]
    fn a_server_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let count = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let url = Url::parse(&format!("http://{address}/readyz")).unwrap();
        assert_eq!(get(&url, Duration::from_secs(5)), Ok(503));
        let request = server.join().unwrap();
        assert!(request.starts_with(&format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n")), "{request}");
    }
}
