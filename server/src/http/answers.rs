//! Answers on their way back to the gate: made of what handlers return, framed, and sent several at once.

use std::fmt;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};

use crate::api::{self, App, Method, Response};
use crate::gate::answer;
use crate::gate::forward::Arrived;
use crate::gate::response::has_content;
use crate::problem::Code;

/// Bytes after which answers are sent, so that the first of them does not wait for too many others.
const MANY_LEN: usize = 16 << 10;

/// What tiny_http hands out to answer a request with; it may write once those before it are gone.
pub(super) type Writer = Box<dyn Write + Send>;

/// What has to be known of a request to write and log its answer.
pub(super) struct About {
    number: u64,
    /// Names it in the log.
    pub(super) id: String,
    method: Method,
    route: &'static str,
}

impl About {
    pub(super) fn of(app: &App, request: &Arrived<'_>) -> Self {
        let (number, method) = (request.number, Method::of(request.method));
        Self { number, id: api::request_id(), method, route: app.route_of(request.target) }
    }
}

/// Answers to requests that came one after another in one pipe.
///
/// Sending each by itself would wake the gate for each. So they are gathered, and the writer of the newest message among
/// theirs writes all of them.
#[derive(Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    writer: Option<Writer>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Answers {
    /// What was gathered so far and what follows is sent with this writer, which is the one of a later message.
    pub(super) fn send_with(&mut self, writer: Writer) {
        self.writer = Some(writer);
    }

    /// Adds what `answer` returns, `None` being that a password has to be hashed first; or a problem document when it
    /// panics: a bug in one handler must not cost the others their thread, and no state outlives a request but the store's.
    pub(super) fn add(&mut self, about: &About, answer: impl FnOnce() -> Option<Response>) {
        let About { number, id, method, route } = about;
        match panic::catch_unwind(AssertUnwindSafe(answer)) {
            Ok(Some(response)) => {
                // What strangers write where a path or a method belongs is none of the log's business.
                log::debug!("{id}: {method} {route} -> {}", response.status);
                self.add_response(about, &response);
            }
            Ok(None) => answer::write_needs_hashing(*number, &mut self.bytes),
            Err(_) => {
                log::error!("{id}: the handler of a request panicked");
                self.add_internal(about);
            }
        }
    }

    fn add_response(&mut self, about: &About, response: &Response) {
        let About { number, id, method, route } = about;
        if !response.body.is_empty() && !has_content(response.status) {
            log::error!(
                "{id}: {method} {route}: a {} has no content, so its body is left out",
                response.status
            );
        }
        if let Err(unfit) = answer::write(*number, response, *method == Method::Head, &mut self.bytes) {
            log::error!("{id}: {method} {route}: the answer cannot be sent: {}", unfit.0);
            self.add_internal(about);
        }
    }

    fn add_internal(&mut self, about: &About) {
        let response = Response::problem(&Code::Internal.into(), &about.id);
        let written = answer::write(about.number, &response, about.method == Method::Head, &mut self.bytes);
        written.expect("a refusal of ours has a status and fields that can be sent");
    }

    /// The rest of a message cannot be read, so that its requests would wait for ever. The gate ends, and the process.
    pub(super) fn give_up(&mut self) {
        log::error!("the gate passed on what cannot be read");
        answer::write_lost(&mut self.bytes);
    }

    /// Whether it is time to send them.
    pub(super) fn are_many(&self) -> bool {
        self.bytes.len() >= MANY_LEN
    }

    /// Sends what there is of answers; the message has more.
    pub(super) fn send_some(&mut self) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = writer.write_all(&self.bytes).and_then(|()| writer.flush()) {
            log::error!("answers did not get to the gate: {error}");
        }
        self.bytes.clear();
    }

    /// Sends what there is, and lets the next message be answered.
    pub(super) fn send(&mut self) {
        self.send_some();
        self.writer = None;
    }
}
