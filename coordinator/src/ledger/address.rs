//! Where a ledger is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::LedgerError;

/// Address of a ledger: `postgres://...` or `sqlite:PATH`. Shown without password.
#[derive(Clone, Debug)]
pub struct Address(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    Postgres(Box<PgConnectOptions>),
    Sqlite(PathBuf),
}

/// The forms that are understood.
const EXPECTED: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH";

impl Address {
    /// The ledger in a file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }
}

impl FromStr for Address {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |problem: String| LedgerError::Address { address: without_password(text), problem };
        match text.split_once(':') {
            Some(("postgres" | "postgresql", _)) => match text.parse() {
                Ok(options) => Ok(Self(Place::Postgres(Box::new(options)))),
                Err(error) => Err(wrong(format!("{error}; {EXPECTED}"))),
            },
            Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
                "" | ":memory:" => Err(wrong("a ledger needs a file to be in: sqlite:PATH".to_owned())),
                path => Ok(Self::sqlite(path)),
            },
            _ => Err(wrong(EXPECTED.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(options) => {
                let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
                write!(f, "postgres://{user}@{host}:{port}/{}", options.get_database().unwrap_or(user))
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The derived one would show the password.
        fmt::Display::fmt(&Address(self.clone()), f)
    }
}

/// What people typed, without what stands between the first `:` of the user and the last `@`, and without the query,
/// which may hold a password too.
fn without_password(text: &str) -> String {
    let text = text.split_once('?').map_or(text, |(before, _)| before);
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}@{place}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for text in ["postgres://me:s3cret@db:5432/ledger", "postgresql://me@db/ledger?password=s3cret"] {
            let address: Address = text.parse().expect("a valid address");
            assert!(!format!("{address} {address:?}").contains("s3cret"), "{address:?}");
        }
        for text in
            ["postgres://me:s3cret@db:notaport/ledger", "mysql://me:s3c@ret@db/ledger?password=s3cret"]
        {
            let error = text.parse::<Address>().expect_err("an invalid address").to_string();
            assert!(!error.contains("s3c") && !error.contains("ret@"), "{error}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_was_typed_otherwise() {
        let shown = |text: &str| text.parse::<Address>().expect("a valid address").to_string();
        assert_eq!(shown("postgres://me:pw@db:5433/ledger"), "postgres://me@db:5433/ledger");
        assert_eq!(shown("sqlite:.backstitch/ledger.db"), "sqlite:.backstitch/ledger.db");
        assert_eq!(shown("sqlite:///var/lib/ledger.db"), "sqlite:/var/lib/ledger.db");
    }

    #[test]
    fn an_address_that_names_no_ledger_says_what_would() {
        let error = "redis://x".parse::<Address>().expect_err("an unknown scheme").to_string();
        assert_eq!(error, format!("ledger address \"redis://x\": {EXPECTED}"));
        assert!("sqlite::memory:".parse::<Address>().is_err());
    }
}
