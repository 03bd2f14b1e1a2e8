//! The `action` member of a problem document: what the server advises a client to do next.

/// What the server advises a client to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Refresh the access token and repeat the request.
    Refresh,
    /// Sign in again.
    Login,
    /// Wait as long as `Retry-After` says.
    Wait,
    /// Try the same request again.
    Retry,
    /// Nothing that a program could do would help.
    None,
}

impl Advice {
    /// The advice of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Refresh, Self::Login, Self::Wait, Self::Retry, Self::None]
            .into_iter()
            .find(|advice| advice.as_str() == name)
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Login => "login",
            Self::Wait => "wait",
            Self::Retry => "retry",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_no_other() {
        for name in ["refresh", "login", "wait", "retry", "none"] {
            assert_eq!(Advice::parse(name).map(Advice::as_str), Some(name));
        }
        assert_eq!(Advice::parse("Refresh"), None);
        assert_eq!(Advice::parse(""), None);
    }
}
