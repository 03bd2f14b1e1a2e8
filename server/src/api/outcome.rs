//! What becomes of a request: an answer at once, or one after a commit that nobody's thread has to wait for.

use super::{App, Request, Response};
use crate::problem::Problem;
use crate::store::{StoreError, Writes};

/// How a handler answers.
pub(super) enum Answer {
    /// It knows the answer.
    Now(Response),
    /// The answer depends on what a command finds in the store.
    AfterCommit(Command),
}

/// Runs inside the store's transaction and leaves behind what makes the response after the commit.
pub(super) type Command = Box<dyn FnOnce(&mut Writes<'_>) -> Result<Respond, StoreError> + Send>;

/// Makes the response, on another thread than the store's.
type Respond = Box<dyn FnOnce(&App) -> Result<Response, Problem> + Send>;

impl Answer {
    /// An answer that `respond` makes of what `command` returned, once that is committed.
    pub(super) fn after_commit<T: Send + 'static>(
        command: impl FnOnce(&mut Writes<'_>) -> Result<T, StoreError> + Send + 'static,
        respond: impl FnOnce(&App, T) -> Result<Response, Problem> + Send + 'static,
    ) -> Self {
        Self::AfterCommit(Box::new(move |writes| {
            let outcome = command(writes)?;
            Ok(Box::new(move |app: &App| respond(app, outcome)))
        }))
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

/// What [`App::answer`] returns.
#[derive(Debug)]
pub enum Outcome {
    /// The response.
    Answered(Response),
    /// A command that has to be committed first.
    Committing(Commit),
}

impl Outcome {
    /// The response, after the commit if there is one.
    pub fn wait(self, app: &App) -> Response {
        match self {
            Self::Answered(response) => response,
            Self::Committing(commit) => {
                let respond = app.store.write(commit.command);
                Committed { respond, finish: commit.finish }.response(app)
            }
        }
    }
}

/// A command on its way to the store.
pub struct Commit {
    pub(super) command: Command,
    pub(super) finish: Finish,
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commit")
    }
}

impl Commit {
    /// Queues the command. `done` is called exactly once, from the store's thread unless the queue is full.
    pub fn queue(self, app: &App, done: impl FnOnce(Committed) + Send + 'static) {
        let finish = self.finish;
        app.store.write_then(self.command, move |respond| done(Committed { respond, finish }));
    }
}

/// A command that is committed, or has failed.
pub struct Committed {
    respond: Result<Respond, StoreError>,
    finish: Finish,
}

impl std::fmt::Debug for Committed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Committed")
    }
}

impl Committed {
    /// The response.
    pub fn response(self, app: &App) -> Response {
        let response = self.respond.map_err(Problem::from).and_then(|respond| respond(app));
        self.finish.apply(app, response)
    }
}

/// Lets a page of this origin, which has to be listed, read the response (Fetch, CORS protocol).
pub(crate) fn allow_origin(response: &mut Response, origin: String) {
    response.set("Access-Control-Allow-Origin", origin);
    response.set("Access-Control-Allow-Credentials", "true");
    response.set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
    response.set("Vary", "Origin");
}

/// What every response gets, whenever it is made.
pub(super) struct Finish {
    request_id: String,
    listed_origin: Option<String>,
}

impl Finish {
    pub(super) fn of(app: &App, request: &Request<'_>) -> Self {
        let listed_origin = app.listed_origin(request).map(str::to_owned);
        Self { request_id: request.id.to_owned(), listed_origin }
    }

    /// The response, a refusal turned into one, with what a page of another site may know of it.
    pub(super) fn apply(self, app: &App, response: Result<Response, Problem>) -> Response {
        let mut response = response.unwrap_or_else(|problem| app.refusal(&problem, &self.request_id));
        if let Some(origin) = self.listed_origin {
            allow_origin(&mut response, origin);
        }
        app.metrics.count_answer(response.status);
        response
    }
}
