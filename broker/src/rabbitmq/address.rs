//! The broker's URL: read once, and never shown again, for it carries a password.

use std::fmt;

use lapin::uri::{AMQPScheme, AMQPUri};

use crate::BrokerError;

/// Heartbeat interval in seconds unless the URL names another: a dead peer is noticed after twice as long.
/// RabbitMQ advises against less than 5.
const HEARTBEAT_S: u16 = 10;

/// Where the broker is, and how to log in. Shows as host, port and virtual host only.
#[derive(Clone)]
pub(super) struct Address(AMQPUri);

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, BrokerError> {
        let invalid = |problem: &str| BrokerError::InvalidUrl { problem: problem.to_owned() };
        let mut uri: AMQPUri = url.parse().map_err(|problem: String| {
            // For some inputs the parser repeats the URL.
            invalid(if problem.contains(url) { "it is not a URL" } else { &problem })
        })?;
        if uri.scheme == AMQPScheme::AMQPS {
            return Err(invalid("this program was built without TLS"));
        }
        if let Some(host) = ipv6_host(url) {
            uri.authority.host = host.to_owned();
        }
        // "amqp://host" and "amqp://host/" both mean the default virtual host to the people who write them.
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(Self(uri))
    }

    pub(super) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }
}

/// The host between brackets, which lapin's parser takes for a missing one.
fn ipv6_host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    Some(host.strip_prefix('[')?.split_once(']')?.0)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.0;
        write!(f, "{}:{} (virtual host {vhost})", authority.host, authority.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_appears_neither_in_the_address_nor_in_an_error() {
        let address = Address::parse("amqp://user:s3cret@rabbit:5673/prod").unwrap();
        assert_eq!(address.to_string(), "rabbit:5673 (virtual host prod)");
        let bad = [
            "amqp:user:s3cret@rabbit",
            "amqp://user:s3cret@rabbit:99999/",
            "http://user:s3cret@rabbit/",
            "amqps://user:s3cret@rabbit/",
            "user:s3cret@rabbit",
            "amqp://user:s3cret@rabbit?heartbeat=s3cret",
        ];
        for url in bad {
            let error = Address::parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
            assert!(error.is_permanent());
        }
    }

    #[test]
    fn what_a_url_leaves_out_has_a_default() {
        let uri = Address::parse("amqp://rabbit").unwrap().uri();
        assert_eq!(
            (uri.authority.port, uri.vhost.as_str(), uri.query.heartbeat),
            (5672, "/", Some(HEARTBEAT_S))
        );
        let uri = Address::parse("amqp://rabbit/%2fdata/?heartbeat=3").unwrap().uri();
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("/data/", Some(3)));
        assert_eq!(Address::parse("amqp://rabbit/").unwrap().uri().vhost, "/");
    }

    #[test]
    fn an_ipv6_host_is_read() {
        for url in ["amqp://[::1]:5673/", "amqp://u:p@[::1]:5673", "amqp://[::1]:5673?heartbeat=3"] {
            let uri = Address::parse(url).unwrap().uri();
            assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("::1", 5673), "{url}");
        }
        assert_eq!(Address::parse("amqp://u:[x]@rabbit").unwrap().uri().authority.host, "rabbit");
    }
}
