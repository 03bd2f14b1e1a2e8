// Keeps a Latchkey session in a browser: send the access token, on 401 refresh once and repeat, sign out when told so.
//
// The access token lives in this module's memory, the refresh token in an httpOnly cookie no script can read. What
// stands in localStorage is no token: a hint that somebody is signed in, and the retry key that the tabs share.

const ATTEMPT_MS = 10_000; // one attempt of a refresh, then it is abandoned
const ABANDONED_LIVES_MS = 15_000; // an abandoned attempt may still reach the server for so long
const ATTEMPTS_MAX = 3;

const HINT = "latchkey.signed-in";
const RETRY_KEY = "latchkey.retry-key";
const ABANDONED_AT = "latchkey.abandoned-at";

/** A refusal of the server: its problem document (RFC 9457) under `problem`. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? problem?.title ?? `the server answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** The session is over: the user has to sign in again. */
export class SignedOut extends Error {}

export class Session {
  #access = null; // { token, number, deadline }
  #number = 0; // of access tokens, over all sessions
  #signIn = 0; // counts sign-ins and sign-outs: a request is never repeated as somebody else
  #handle = null; // of the session, as far as this page knows
  #refreshing = null; // the one refresh under way
  #watch;

  user = null;

  /** `watch(event)` is told of every request and answer of the cycle: { kind, ... }. */
  constructor({ watch = () => {} } = {}) {
    this.#watch = watch;
    // A key pending at start was left by a page that has gone: its request may still be on the way.
    if (localStorage.getItem(RETRY_KEY)) abandonedNow();
  }

  /** Whether somebody signed in here before; `resume` finds out if the session still lives. */
  get mayResume() {
    return localStorage.getItem(HINT) !== null;
  }

  /** Milliseconds the access token has left, by this page's own clock. */
  get remainingMs() {
    return this.#access ? Math.max(0, this.#access.deadline - performance.now()) : 0;
  }

  async signIn(username, password) {
    const sent = performance.now();
    const answer = await this.#send("POST", "/api/auth/login", { body: { username, password } });
    if (!answer.ok) throw await refused(answer);
    const grant = await answer.json();
    this.#signIn++;
    // A retry key belongs to one refresh token, and this sign-in brought another.
    localStorage.removeItem(RETRY_KEY);
    localStorage.setItem(HINT, grant.session);
    return this.#accept(grant, sent);
  }

  /** Goes on in the session of the cookie. Throws `SignedOut` when there is none. */
  async resume() {
    await this.#refresh();
    return this.user;
  }

  /** Like `fetch` for a path of this server, with the access token; a 401 is refreshed and repeated once. */
  async fetch(path, { method = "GET", body } = {}) {
    const signIn = this.#signIn;
    if (!this.#access) await this.#refresh();
    this.#assertSame(signIn);
    const used = this.#access;
    const answer = await this.#send(method, path, { body, token: used.token });
    if (answer.status !== 401 || (await actionOf(answer)) !== "refresh") return answer;
    this.#assertSame(signIn);
    // If the token is no longer the one the request used, somebody has refreshed meanwhile: just repeat.
    if (this.#access.number === used.number) await this.#refresh();
    this.#assertSame(signIn);
    return this.#send(method, path, { body, token: this.#access.token });
  }

  /** Throws the access token away, as if it had expired; the session stays. */
  expireNow() {
    if (this.#access) this.#access = { ...this.#access, token: "expired", deadline: performance.now() };
  }

  async signOut() {
    await this.#send("POST", "/api/auth/logout");
    this.#forget();
  }

  async signOutEverywhere() {
    const answer = await this.fetch("/api/auth/logout-all", { method: "POST" });
    if (!answer.ok) throw await refused(answer);
    this.#forget();
  }

  #assertSame(signIn) {
    if (this.#signIn !== signIn || !this.#access) throw new SignedOut("The session has ended");
  }

  #refresh() {
    this.#refreshing ??= this.#refreshWithRetries().finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #refreshWithRetries() {
    if (!localStorage.getItem(RETRY_KEY)) {
      await pause(ABANDONED_LIVES_MS - (Date.now() - Number(localStorage.getItem(ABANDONED_AT) ?? 0)));
      // Another tab may have begun meanwhile: then its key is ours too.
      if (!localStorage.getItem(RETRY_KEY)) localStorage.setItem(RETRY_KEY, crypto.randomUUID());
    }
    const key = localStorage.getItem(RETRY_KEY);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#refreshOnce(key);
      } catch (error) {
        if (error instanceof SignedOut || attempt === ATTEMPTS_MAX || !mayRetry(error)) throw error;
        await pause((error.retryAfterSecs ?? 0) * 1000);
      }
    }
  }

  async #refreshOnce(key) {
    const sent = performance.now();
    const signIn = this.#signIn;
    const hint = localStorage.getItem(HINT);
    let answer, text;
    try {
      answer = await this.#send("POST", "/api/auth/refresh", { retryKey: key, timeoutMs: ATTEMPT_MS });
      text = await answer.text();
    } catch (error) {
      abandonedNow();
      throw error;
    }
    const document = parsed(text);
    if (answer.ok && document?.access_token) {
      if (document.rotated) forgetItem(RETRY_KEY, key);
      // What was sent before somebody signed out here must not sign them in again.
      if (this.#signIn !== signIn) throw new SignedOut("The session has ended");
      return this.#accept(document, sent);
    }
    // Only a 401 in our own words ends the session; a captive portal or a broken proxy does not speak them.
    if (answer.status === 401 && document?.type?.startsWith("urn:latchkey:")) {
      // Another tab may have signed in anew meanwhile: only what this request knew of is forgotten.
      forgetItem(RETRY_KEY, key);
      forgetItem(HINT, hint);
      if (this.#signIn === signIn) this.#leave();
      throw new SignedOut(document.title);
    }
    const error = new Refused(answer.status, document);
    error.retryAfterSecs = Number(answer.headers.get("Retry-After")) || 0;
    throw error;
  }

  #accept(grant, sent) {
    const number = ++this.#number;
    this.#access = { token: grant.access_token, number, deadline: sent + grant.expires_in * 1000 };
    this.#handle = grant.session;
    this.user = grant.user;
    this.#watch({ kind: "token", number, expiresInSecs: grant.expires_in, rotated: grant.rotated });
    return grant.user;
  }

  /** Forgets the session that this page was in. */
  #forget() {
    // The retry key goes with it: it belongs to a token of a session that is over.
    if (localStorage.getItem(HINT) === this.#handle) localStorage.removeItem(RETRY_KEY);
    forgetItem(HINT, this.#handle);
    this.#leave();
  }

  #leave() {
    this.#signIn++;
    this.#access = null;
    this.#handle = null;
    this.user = null;
  }

  async #send(method, path, { body, token, retryKey, timeoutMs } = {}) {
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    if (retryKey) headers["Idempotency-Key"] = retryKey;
    this.#watch({ kind: "request", method, path });
    const answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      signal: timeoutMs ? AbortSignal.timeout(timeoutMs) : undefined,
    });
    this.#watch({ kind: "answer", method, path, status: answer.status });
    return answer;
  }
}

/** Removes an item only if it still is what the caller knew: another tab may have put its own there. */
function forgetItem(name, known) {
  if (localStorage.getItem(name) === known) localStorage.removeItem(name);
}

function abandonedNow() {
  localStorage.setItem(ABANDONED_AT, String(Date.now()));
}

function mayRetry(error) {
  return !(error instanceof Refused) || error.status >= 500 || [409, 429].includes(error.status);
}

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

async function actionOf(answer) {
  return parsed(await answer.clone().text())?.action;
}

async function refused(answer) {
  return new Refused(answer.status, parsed(await answer.text()));
}
