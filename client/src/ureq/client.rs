//! The client as programs see it: sign in, ask, sign out.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::ureq::http::{Method, Uri};
use serde::Serialize;

use crate::ureq::builder::Builder;
use crate::ureq::message::{self, Tokens};
use crate::ureq::transport::{BODY_LEN_MAX, Body, Call, Transport};
use crate::ureq::{AccessToken, Clock, Error, Event, OpenStore, Origin, Response, Saved, SessionStore};
use crate::{Failure, Moment, Request, Session, Step, Verdict};

/// A session with one server, for any number of threads.
///
/// Every request goes out with the access token. When that has expired, or the server refuses it with a 401,
/// one thread refreshes while the others wait, and each request is repeated once. The access token is in
/// memory only; the refresh token is in the [`SessionStore`], so that the next start of the program goes on
/// in the same session.
///
/// A client that is started anew therefore refreshes with its first request. Within the server's grace period
/// that costs no rotation, and at any time it is safe to be killed in the middle of it.
pub struct Client {
    pub(super) store: Box<dyn SessionStore>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) transport: Transport,
    proactive: bool,
    shared: Mutex<Shared>,
    /// A refresh ended, well or not, or somebody signed in or out.
    pub(super) changed: Condvar,
}

/// Who is signed in, where, and in which session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The server.
    pub origin: Origin,
    /// The user's name, as the server writes it.
    pub user: String,
    /// The session's handle, the same in the server's lists.
    pub session: String,
}

/// What the threads share. No thread does I/O while it holds it.
pub(super) struct Shared {
    pub(super) session: Session,
    pub(super) identity: Option<Identity>,
    pub(super) access_token: AccessToken,
    /// What the last failed refresh met.
    pub(super) setback: Option<Error>,
    /// The server's word for why it ended the session.
    pub(super) ended: Option<String>,
}

impl Client {
    /// Begins to put a client together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn resume(
        store: Box<dyn SessionStore>,
        clock: Box<dyn Clock>,
        transport: Transport,
        proactive: bool,
    ) -> Result<Self, Error> {
        let mut session = Session::signed_out();
        let identity = store.read()?.map(|saved| saved.identity);
        if identity.is_some() {
            session.resumed();
        }
        let access_token = AccessToken::default();
        let shared = Shared { session, identity, access_token, setback: None, ended: None };
        Ok(Self { store, clock, transport, proactive, shared: Mutex::new(shared), changed: Condvar::new() })
    }

    /// Who is signed in, as far as is known without asking the server.
    pub fn identity(&self) -> Option<Identity> {
        self.shared().identity.clone()
    }

    /// Signs in at `server`, such as `https://auth.example`, and keeps the session. A session that was there
    /// is ended.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `invalid_credentials` when the name or the password is wrong,
    /// [`Error::Busy`] after too many of those, [`Error::Network`], [`Error::Address`], and [`Error::Store`]
    /// when the session cannot be kept. The session that was there is ended only when the new one is kept.
    pub fn login(&self, server: &str, user: &str, password: &str) -> Result<Identity, Error> {
        let origin = Origin::parse(server)?;
        // Before the password leaves: a store that cannot keep the session should say so now.
        self.store.open()?.read()?;

        let body = message::login(user, password);
        let sent_at = self.clock.now();
        let response = self.transport.send(&Call::auth(&origin, "/api/auth/login", &body)?)?;
        let Some(tokens) = Tokens::read(&response) else {
            self.transport.tell_answer(&response);
            return Err(Error::of_auth(response));
        };
        let Tokens { session, user, expires_in_secs, .. } = &tokens;
        self.transport.tell(&Event::SignedIn { user, expires_in_secs: *expires_in_secs });

        let identity = Identity { origin, user: user.clone(), session: session.clone() };
        let saved = Saved::new(identity.clone(), tokens.refresh_token.clone());
        let kept = self.keep(&saved, tokens, sent_at);
        // Nobody will use the session that was there, or else the one that cannot be kept.
        if let Some(useless) = kept.as_ref().map_or(Some(&saved), Option::as_ref) {
            // If the server cannot be told, it expires by itself.
            let _ = self.end(useless);
        }
        kept.map(|_| identity)
    }

    /// Asks for `target`: a path at the origin that was signed in to, or a full address of it.
    ///
    /// # Errors
    /// [`Error::Refused`] for every status but 2xx, and all the others: see [`Error`].
    pub fn get(&self, target: &str) -> Result<Response, Error> {
        self.request(&Method::GET, target, None)
    }

    /// Posts `value` as JSON to `target`.
    ///
    /// After a 401 the request is sent again: the server has not acted on the first.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`Error::Json`] when `value` cannot be written as JSON.
    pub fn post_json<T: Serialize + ?Sized>(&self, target: &str, value: &T) -> Result<Response, Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::Json(error.to_string()))?;
        self.request(&Method::POST, target, Some(Body::json(&json)))
    }

    /// Posts `body` to `target`, and says that it is of the media type `content_type`.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`Error::ContentType`] when that cannot stand in a header field.
    pub fn post(&self, target: &str, content_type: &str, body: &[u8]) -> Result<Response, Error> {
        let body = Body::of(content_type, body).ok_or(Error::ContentType)?;
        self.request(&Method::POST, target, Some(body))
    }

    /// An access token that has not expired, for a program that sends its own requests. Refreshes if need be.
    ///
    /// It is a secret of some minutes: whoever has it acts for the user until it expires or the session ends.
    ///
    /// # Errors
    /// [`Error::SignedOut`], [`Error::Network`], and what else keeps a refresh from succeeding.
    pub fn access_token(&self) -> Result<AccessToken, Error> {
        self.attend(|request, shared| {
            let token = shared.access_token.clone();
            drop(shared);
            let has_expired = token.expires_in_secs(self.clock.now()) == 0;
            // As if a server had said so; one that is new and has expired already is all that can be had.
            let verdict = request.answered(if has_expired { 401 } else { 200 }, None);
            Ok((verdict == Verdict::Return).then_some(token))
        })
    }

    /// For how many seconds an access token of this client's may still be good.
    pub fn secs_left(&self, token: &AccessToken) -> u64 {
        token.expires_in_secs(self.clock.now())
    }

    /// Signs out: the server ends the session, and the store forgets it. Without a session that is done
    /// already.
    ///
    /// # Errors
    /// [`Error::Network`] and others; then the session is kept, so that signing out can be tried again.
    pub fn logout(&self) -> Result<(), Error> {
        let mut store = self.store.open()?;
        if let Some(saved) = store.read()?.filter(|saved| self.is_ours(saved)) {
            self.end(&saved)?;
        }
        self.leave(&mut *store)
    }

    /// Forgets the session without telling the server, where it lives on until it expires or somebody ends it
    /// there.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot forget.
    pub fn forget(&self) -> Result<(), Error> {
        self.leave(&mut *self.store.open()?)
    }

    /// Sends a request, and once more if the first answer is a 401.
    fn request(&self, method: &Method, target: &str, body: Option<Body<'_>>) -> Result<Response, Error> {
        // A wrong address is told before a refresh is spent on it.
        if let Some(identity) = &self.shared().identity {
            identity.origin.resolve(target)?;
        }
        let response = self.attend(|request, shared| {
            let (uri, access_token) = shared.pass_to(target)?;
            drop(shared);
            let response = self.exchange(method.clone(), uri, access_token.as_str(), body.clone())?;
            let advice = response.problem().and_then(|problem| problem.advice);
            let verdict = request.answered(response.status(), advice);
            Ok((verdict == Verdict::Return).then_some(response))
        })?;
        let is_success = (200..300).contains(&response.status());
        if is_success { Ok(response) } else { Err(Error::Refused(response)) }
    }

    /// Does what the session says until `send`, which is called when there is an access token, has a result.
    fn attend<T>(
        &self,
        send: impl Fn(&mut Request, MutexGuard<'_, Shared>) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let mut request = Request::new();
        loop {
            let mut shared = self.shared();
            match shared.session.next(&mut request, self.clock.now()) {
                Step::Send => {
                    if let Some(result) = send(&mut request, shared)? {
                        return Ok(result);
                    }
                }
                Step::Refresh(turn) => {
                    drop(shared);
                    self.refresh(turn);
                }
                Step::Join(until) => self.join(shared, until),
                Step::Wait(until) => {
                    drop(shared);
                    self.wait(until);
                }
                Step::Failed(failure) => return Err(shared.error_of(failure)),
                Step::SignedOut => return Err(Error::SignedOut { code: shared.ended.clone() }),
            }
        }
    }

    fn exchange(
        &self,
        method: Method,
        uri: Uri,
        access_token: &str,
        body: Option<Body<'_>>,
    ) -> Result<Response, Error> {
        let response = self.transport.send(&Call {
            method,
            uri,
            access_token: Some(access_token),
            retry_key: None,
            body,
            answer_len_max: BODY_LEN_MAX,
        })?;
        self.transport.tell_answer(&response);
        Ok(response)
    }

    /// Keeps a session that was just signed in to, and returns the one that was there.
    fn keep(&self, saved: &Saved, tokens: Tokens, sent_at: Moment) -> Result<Option<Saved>, Error> {
        let mut store = self.store.open()?;
        let previous = store.read()?;
        store.write(saved)?;
        // While the store is open, so that it never holds another session than the threads think.
        let mut shared = self.shared();
        shared.session.signed_in(self.deadline(tokens.expires_in_secs), sent_at);
        shared.identity = Some(saved.identity.clone());
        shared.access_token = AccessToken::new(tokens.access_token, tokens.expires_in_secs, sent_at);
        shared.ended = None;
        drop(shared);
        self.changed.notify_all();
        Ok(previous)
    }

    /// Forgets the session, in the store only if it is there and not another's.
    fn leave(&self, store: &mut dyn OpenStore) -> Result<(), Error> {
        let is_there = store.read()?.is_some_and(|saved| self.is_ours(&saved));
        self.shared().sign_out(None);
        self.changed.notify_all();
        if is_there { Ok(store.clear()?) } else { Ok(()) }
    }

    /// Tells the server to end a session.
    fn end(&self, saved: &Saved) -> Result<(), Error> {
        let body = message::refresh_token(saved.token());
        let response =
            self.transport.send(&Call::auth(&saved.identity.origin, "/api/auth/logout", &body)?)?;
        self.transport.tell_answer(&response);
        if response.status() == 204 { Ok(()) } else { Err(Error::of_auth(response)) }
    }

    /// Whether the store holds the session that this client is in. Another process may have signed in as
    /// somebody else.
    pub(super) fn is_ours(&self, saved: &Saved) -> bool {
        self.shared().identity.as_ref() == Some(&saved.identity)
    }

    pub(super) fn deadline(&self, expires_in_secs: u32) -> Option<u32> {
        self.proactive.then_some(expires_in_secs)
    }

    fn wait(&self, until: Moment) {
        let millis = until.millis_left(self.clock.now());
        if millis > 0 {
            self.transport.tell(&Event::Waiting { millis });
            self.clock.wait_until(until);
        }
    }

    fn join(&self, shared: MutexGuard<'_, Shared>, until: Moment) {
        let limit = Duration::from_millis(until.millis_left(self.clock.now()));
        // Woken too early, it asks again; woken too late, it finds what the others found.
        drop(self.changed.wait_timeout(shared, limit));
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        // What a panicking thread leaves is whole: each change is made by assignments.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Where a request goes and what it shows there, taken together: the token of one origin never meets
    /// another.
    fn pass_to(&self, target: &str) -> Result<(Uri, AccessToken), Error> {
        let identity = self.identity.as_ref().ok_or(Error::SignedOut { code: None })?;
        identity.origin.check_reachable()?;
        Ok((identity.origin.resolve(target)?, self.access_token.clone()))
    }

    pub(super) fn sign_out(&mut self, code: Option<String>) {
        self.session.sign_out();
        self.identity = None;
        self.access_token = AccessToken::default();
        self.ended = code;
    }

    fn error_of(&self, failure: Failure) -> Error {
        match failure {
            // Counted down since the answer came.
            Failure::Busy { retry_after_secs } => Error::Busy { retry_after_secs },
            _ => self
                .setback
                .clone()
                .unwrap_or_else(|| Error::Network("the session could not be refreshed".into())),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("identity", &self.identity())
            .field("proactive", &self.proactive)
            .finish_non_exhaustive()
    }
}
