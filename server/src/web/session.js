// Keeps a Latchkey session in a browser: send the access token, on 401 refresh once and repeat, sign out when told so.
//
// The access token lives in this module's memory, the refresh token in an httpOnly cookie no script can read. What
// stands in localStorage is no token: a hint that somebody is signed in, and the retry key that the tabs share.

const ATTEMPT_MS = 10_000; // one attempt of a refresh, then it is abandoned
const ABANDONED_LIVES_MS = 15_000; // an abandoned attempt may still reach the server for so long
const ATTEMPTS_MAX = 3;

/** A refusal of the server: its problem document (RFC 9457) under `problem`. */
export class Refused extends Error {
  constructor(answer, problem) {
    super(problem?.detail ?? problem?.title ?? `the server answered ${answer.status}`);
    this.status = answer.status;
    this.problem = problem;
    this.retryAfterSecs = Number(answer.headers.get("Retry-After")) || 0;
  }
}

/** The session is over: the user has to sign in again. */
export class SignedOut extends Error {}

/** No answer came: the session is as it was. */
export class Unreachable extends Error {}

export class Session {
  #access = null; // { token, number, deadline }
  #number = 0; // of access tokens, over all sessions
  #signIn = 0; // counts sign-ins and sign-outs: a request is never repeated as somebody else
  #handle = null; // of the session, as far as this page knows
  #refreshing = null; // the one refresh under way
  #exchanges = 0; // for the watcher: what was asked for, with all that was sent for it
  #home; // the server's origin
  #watch;
  #hint; // names in localStorage
  #retryKey;
  #abandonedAt;

  user = null;

  /**
   * `base` is the server's origin, when it is not the page's own. `watch(event)` is told of every request and answer
   * of the cycle: { kind, exchange, ... }.
   */
  constructor({ base = "", watch = () => {} } = {}) {
    this.#home = new URL(base || location.origin).origin;
    this.#watch = watch;
    [this.#hint, this.#retryKey, this.#abandonedAt] = ["signed-in", "retry-key", "abandoned-at"].map(
      (name) => `latchkey.${name}${base && ` ${base}`}`,
    );
    // A key pending at start was left by a page that has gone: its request may still be on the way.
    if (localStorage.getItem(this.#retryKey)) this.#abandonedNow();
  }

  /** Whether somebody signed in here before; `resume` finds out if the session still lives. */
  get mayResume() {
    return localStorage.getItem(this.#hint) !== null;
  }

  /** Milliseconds the access token has left, by this page's own clock. */
  get remainingMs() {
    return this.#access ? Math.max(0, this.#access.deadline - performance.now()) : 0;
  }

  signIn(username, password) {
    return this.signInWith("/api/auth/login", { username, password });
  }

  /** Signs in by any path that answers as a log-in does, such as /api/setup. */
  async signInWith(path, body) {
    const sent = performance.now();
    const exchange = ++this.#exchanges;
    const answer = await this.#send("POST", path, { body, exchange });
    if (!answer.ok) throw await refused(answer);
    const grant = await answer.json();
    this.#signIn++;
    // A retry key belongs to one refresh token, and this sign-in brought another.
    localStorage.removeItem(this.#retryKey);
    localStorage.setItem(this.#hint, grant.session);
    return this.#accept(grant, sent, exchange);
  }

  /** Goes on in the session of the cookie. Throws `SignedOut` when there is none. */
  async resume() {
    await this.#refresh(++this.#exchanges);
    return this.user;
  }

  /**
   * Like `fetch`, with the access token; a 401 is refreshed and repeated once. A path is one of this server; whoever
   * gives an address of another server hands it the access token. `body` is sent as JSON.
   */
  async fetch(path, { method = "GET", body, signal } = {}) {
    const signIn = this.#signIn;
    const exchange = ++this.#exchanges;
    if (!this.#access) await this.#refresh(exchange);
    this.#assertSame(signIn);
    const used = this.#access;
    const options = { body, signal, exchange };
    const answer = await this.#send(method, path, { ...options, token: used.token });
    if (answer.status !== 401 || !(await asksForRefresh(answer))) return answer;
    this.#assertSame(signIn);
    // If the token is no longer the one the request used, somebody has refreshed meanwhile: just repeat.
    if (this.#access.number === used.number) await this.#refresh(exchange);
    this.#assertSame(signIn);
    return this.#send(method, path, { ...options, token: this.#access.token });
  }

  /** Like `fetch`, but answers what the JSON says, null without any, and throws `Refused` for a refusal. */
  async json(path, options) {
    const answer = await this.fetch(path, options);
    if (!answer.ok) throw await refused(answer);
    return parsed(await answer.text());
  }

  /** Posts without a token what needs none, such as /api/auth/reset. */
  async post(path, body) {
    const answer = await this.#send("POST", path, { body, exchange: ++this.#exchanges });
    if (!answer.ok) throw await refused(answer);
  }

  /** Throws the access token away, as if it had expired; the session stays. */
  expireNow() {
    if (this.#access) this.#access = { ...this.#access, token: "expired", deadline: performance.now() };
  }

  async signOut() {
    await this.#send("POST", "/api/auth/logout", { exchange: ++this.#exchanges });
    this.#forget();
  }

  async signOutEverywhere() {
    await this.json("/api/auth/logout-all", { method: "POST" });
    this.#forget();
  }

  #assertSame(signIn) {
    if (this.#signIn !== signIn || !this.#access) throw new SignedOut("The session has ended");
  }

  #refresh(exchange) {
    this.#refreshing ??= this.#refreshWithRetries(exchange).finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #refreshWithRetries(exchange) {
    for (let attempt = 1; ; attempt++) {
      const key = await this.#pendingKey();
      try {
        return await this.#refreshOnce(key, exchange);
      } catch (error) {
        if (error instanceof SignedOut || attempt === ATTEMPTS_MAX || !mayRetry(error)) throw error;
        // Another tab has refreshed between our look at its key and our request: its token is ours, its key is spent.
        if (isOfSpentKey(error)) forgetItem(this.#retryKey, key);
        await pause((error.retryAfterSecs ?? 0) * 1000);
      }
    }
  }

  /** The retry key of the refresh token that the tabs share: the one pending, or a new one. */
  async #pendingKey() {
    if (!localStorage.getItem(this.#retryKey)) {
      await pause(ABANDONED_LIVES_MS - (Date.now() - Number(localStorage.getItem(this.#abandonedAt) ?? 0)));
      // Another tab may have begun meanwhile: then its key is ours too.
      if (!localStorage.getItem(this.#retryKey)) localStorage.setItem(this.#retryKey, crypto.randomUUID());
    }
    return localStorage.getItem(this.#retryKey);
  }

  async #refreshOnce(key, exchange) {
    const sent = performance.now();
    const signIn = this.#signIn;
    const hint = localStorage.getItem(this.#hint);
    let answer, text;
    try {
      const signal = AbortSignal.timeout(ATTEMPT_MS);
      answer = await this.#send("POST", "/api/auth/refresh", { retryKey: key, signal, exchange });
      text = await answer.text();
    } catch (error) {
      this.#abandonedNow();
      throw error;
    }
    const document = parsed(text);
    if (answer.ok && document?.access_token) {
      if (document.rotated) forgetItem(this.#retryKey, key);
      // What was sent before somebody signed out here must not sign them in again.
      if (this.#signIn !== signIn) throw new SignedOut("The session has ended");
      // Another tab may have signed in as somebody else: what this page was about to repeat is not theirs.
      if (this.user && this.user.id !== document.user.id) this.#signIn++;
      return this.#accept(document, sent, exchange);
    }
    // Only a 401 in our own words ends the session; a captive portal or a broken proxy does not speak them.
    if (answer.status === 401 && document?.type?.startsWith("urn:latchkey:")) {
      // Another tab may have signed in anew meanwhile: only what this request knew of is forgotten.
      forgetItem(this.#retryKey, key);
      forgetItem(this.#hint, hint);
      if (this.#signIn === signIn) this.#leave();
      throw new SignedOut(document.title);
    }
    throw new Refused(answer, document);
  }

  #accept(grant, sent, exchange) {
    const number = ++this.#number;
    this.#access = { token: grant.access_token, number, deadline: sent + grant.expires_in * 1000 };
    this.#handle = grant.session;
    this.user = grant.user;
    this.#watch({ kind: "token", exchange, expiresInSecs: grant.expires_in, rotated: grant.rotated });
    return grant.user;
  }

  /** Forgets the session that this page was in. */
  #forget() {
    // The retry key goes with it: it belongs to a token of a session that is over.
    if (localStorage.getItem(this.#hint) === this.#handle) localStorage.removeItem(this.#retryKey);
    forgetItem(this.#hint, this.#handle);
    this.#leave();
  }

  #leave() {
    this.#signIn++;
    this.#access = null;
    this.#handle = null;
    this.user = null;
  }

  #abandonedNow() {
    localStorage.setItem(this.#abandonedAt, String(Date.now()));
  }

  async #send(method, path, { body, token, retryKey, signal, exchange }) {
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    if (retryKey) headers["Idempotency-Key"] = retryKey;
    const address = new URL(path, this.#home);
    const step = { exchange, method, path };
    const sent = performance.now();
    this.#watch({ kind: "request", ...step });
    let status = 0; // no answer
    try {
      const answer = await fetch(address, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: address.origin === this.#home ? "include" : "same-origin",
        redirect: "error",
        signal,
      });
      status = answer.status;
      return answer;
    } catch (error) {
      if (error.name === "AbortError") throw error; // the caller's own wish
      throw new Unreachable("The server cannot be reached", { cause: error });
    } finally {
      this.#watch({ kind: "answer", ...step, status, ms: performance.now() - sent });
    }
  }
}

/** Removes an item only if it still is what the caller knew: another tab may have put its own there. */
function forgetItem(name, known) {
  if (localStorage.getItem(name) === known) localStorage.removeItem(name);
}

function mayRetry(error) {
  return !(error instanceof Refused) || error.status >= 500 || [409, 429].includes(error.status) || isOfSpentKey(error);
}

/** Row 5a of the decision: the key belongs to the token before. */
const isOfSpentKey = (error) => error.problem?.type === "urn:latchkey:retry_key_reused";

function pause(ms) {
  return new Promise((done) => setTimeout(done, Math.max(0, Math.min(ms, ABANDONED_LIVES_MS))));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Whether a 401 is one that a new access token helps against: ours say so, others' are taken for it. */
async function asksForRefresh(answer) {
  return (parsed(await answer.clone().text())?.action ?? "refresh") === "refresh";
}

async function refused(answer) {
  return new Refused(answer, parsed(await answer.text()));
}
