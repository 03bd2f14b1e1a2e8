//! How a client is put together.

use std::fmt;
use std::time::Duration;

use crate::ureq::client::Client;
use crate::ureq::transport::{Trace, Transport};
use crate::ureq::{Clock, Error, Event, MemoryStore, SessionStore, SystemClock};

/// How long one attempt may take, from looking up the name to the last byte of the answer.
///
/// The server's grace period and the quiet time after an abandoned attempt are made for it: see
/// [`QUIET_SECS`](crate::QUIET_SECS).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Puts a [`Client`] together.
pub struct Builder {
    store: Box<dyn SessionStore>,
    clock: Box<dyn Clock>,
    trace: Option<Trace>,
    timeout: Duration,
    proactive: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            store: Box::new(MemoryStore::new()),
            clock: Box::new(SystemClock::new()),
            trace: None,
            timeout: TIMEOUT,
            proactive: true,
        }
    }

    /// Where the session is kept. Without it: in memory, until the program ends.
    #[must_use]
    pub fn store(self, store: impl SessionStore + 'static) -> Self {
        Self { store: Box::new(store), ..self }
    }

    /// Refreshes on a 401 only, and not already when the access token is known to have expired.
    ///
    /// Asking first saves a request that would be refused; not asking shows the whole cycle and needs no
    /// clock.
    #[must_use]
    pub fn reactive(self) -> Self {
        Self { proactive: false, ..self }
    }

    /// How long one attempt may take, if not 10 s. More than 10 s undoes what the quiet time promises.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Calls `trace` with everything the client does, as it does it.
    #[must_use]
    pub fn trace(self, trace: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self { trace: Some(Box::new(trace)), ..self }
    }

    /// The clock to go by, in tests.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// The client, signed in if the store holds a session. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Store`] when the store holds something that it cannot read.
    pub fn build(self) -> Result<Client, Error> {
        let transport = Transport::new(self.timeout, self.trace);
        Client::resume(self.store, self.clock, transport, self.proactive)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("timeout", &self.timeout)
            .field("proactive", &self.proactive)
            .finish_non_exhaustive()
    }
}
