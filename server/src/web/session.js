// Keeps a Latchkey session in a browser: send the access token, on 401 refresh once and repeat, sign out when told so.
//
// The access token lives in this module's memory, the refresh token in an httpOnly cookie no script can read. What
// stands in localStorage is no token: a hint that somebody is signed in, the retry key that the tabs share, and that a
// sign-out has not reached the server yet. Importing this module does nothing, and needs no window.

const ATTEMPT_MS = 10_000; // one attempt of a refresh, then it is abandoned
const ABANDONED_LIVES_MS = 15_000; // an abandoned attempt may still reach the server for so long
const ATTEMPTS_MAX = 3;

/** A refusal of the server: its problem document (RFC 9457) under `problem`. */
export class Refused extends Error {
  name = "Refused";
  constructor(answer, problem) {
    super(problem?.detail ?? problem?.title ?? `the server answered ${answer.status}`);
    this.status = answer.status;
    this.problem = problem;
    this.retryAfterSecs = Number(answer.headers.get("Retry-After")) || 0;
  }
}

/** The session is over: the user has to sign in again. */
export class SignedOut extends Error {
  name = "SignedOut";
}

/** No answer came: the session is as it was. */
export class Unreachable extends Error {
  name = "Unreachable";
}

export class Session {
  #access = null; // { token, number, deadline }
  #number = 0; // of access tokens, over all sessions
  #signIn = 0; // counts sign-ins and sign-outs: a request is never repeated as somebody else
  #handle = null; // of the session, as far as this page knows
  #refreshing = null; // the one refresh under way
  #exchanges = 0; // for the watcher: what was asked for, with all that was sent for it
  #home; // the server's origin
  #watch;
  #listeners = new Set(); // of changes of the user
  #user = null;
  #storage; // localStorage, or this page's memory where there is none
  #hint; // names in it
  #retryKey;
  #abandonedAt;
  #owed; // a sign-out that the server does not know of
  #paying = null; // the one telling of it that is under way

  /**
   * `base` is the server's origin, when it is not the page's own; where there is no page it has to be given.
   * `watch(event)` is told of every request and answer of the cycle: { kind, exchange, ... }.
   */
  constructor({ base = "", watch = () => {} } = {}) {
    const here = base || globalThis.location?.origin;
    if (!here) throw new TypeError("Say `base`, the server's origin: there is no page whose origin it could be");
    this.#home = new URL(here).origin;
    this.#watch = watch;
    this.#storage = storage();
    [this.#hint, this.#retryKey, this.#abandonedAt, this.#owed] = [
      "signed-in",
      "retry-key",
      "abandoned-at",
      "owed-sign-out",
    ].map((name) => `latchkey.${name}${base && ` ${base}`}`);
    // A key pending at start was left by a page that has gone: its request may still be on the way.
    if (this.#storage.getItem(this.#retryKey)) this.#abandonedNow();
    // Other tabs of this origin write the hint: told of at once, and looked at again before each request.
    globalThis.addEventListener?.("storage", ({ key }) => key === this.#hint && this.#lookAtOtherTabs());
    const pay = () => this.#payOwed().catch(() => {});
    globalThis.addEventListener?.("online", pay);
    pay();
  }

  /** Who is signed in, or null. */
  get user() {
    return this.#user;
  }

  /**
   * Calls `listener(user, before, isElsewhere)` whenever another user, or nobody any more, is signed in; `isElsewhere`
   * says that another tab has done it. Returns a function that ends that.
   */
  onUser(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether somebody signed in here before; `resume` finds out if the session still lives. */
  get mayResume() {
    return this.#storage.getItem(this.#hint) !== null;
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
    // Its answer takes the cookie away, and must not come after the one of this sign-in.
    await this.#paying?.catch(() => {});
    const sent = performance.now();
    const exchange = ++this.#exchanges;
    const answer = await this.#send(json("POST", path, body), { exchange });
    if (!answer.ok) throw await refused(answer);
    const grant = await answer.json();
    this.#signIn++;
    // A retry key belongs to one refresh token, and this sign-in brought another.
    this.#storage.removeItem(this.#retryKey);
    // The server has ended the session whose cookie came along.
    this.#storage.removeItem(this.#owed);
    this.#storage.setItem(this.#hint, grant.session);
    return this.#accept(grant, sent, exchange);
  }

  /** Goes on in the session of the cookie. Throws `SignedOut` when there is none. */
  async resume() {
    await this.#payOwed();
    await this.#refresh(++this.#exchanges);
    return this.user;
  }

  /**
   * Like `fetch`, with the access token; a 401 is refreshed and repeated once. A path is one of this server; whoever
   * gives an address of another server hands it the access token. Takes what `fetch` takes, a `Request` too; a `body`
   * that is a plain value, an array or an object is sent as JSON. A stream cannot be sent twice: its 401 is answered.
   */
  async fetch(what, { method = "GET", body, headers, ...options } = {}) {
    const asked =
      what instanceof Request
        ? { request: what, path: what.url, method: what.method, options }
        : { path: String(what), method, options, ...encoded(body, headers) };
    this.#lookAtOtherTabs();
    const signIn = this.#signIn;
    const exchange = ++this.#exchanges;
    // A token that is over by this page's clock would only earn a 401.
    if (!this.#access || (this.remainingMs === 0 && !this.#access.isThrownAway)) await this.#refresh(exchange);
    this.#assertSame(signIn);
    const used = this.#access;
    const answer = await this.#send(asked, { token: used.token, exchange });
    if (answer.status !== 401 || !(await asksForRefresh(answer))) return answer;
    this.#assertSame(signIn);
    // If the token is no longer the one the request used, somebody has refreshed meanwhile: just repeat.
    if (this.#access.number === used.number) await this.#refresh(exchange);
    this.#assertSame(signIn);
    if (isStream(asked.body)) return answer;
    return this.#send(asked, { token: this.#access.token, exchange });
  }

  /** Like `fetch`, but answers what the JSON says, null without any, and throws `Refused` for a refusal. */
  async json(path, options) {
    const answer = await this.fetch(path, options);
    if (!answer.ok) throw await refused(answer);
    return parsed(await answer.text());
  }

  /** Posts without a token what needs none, such as /api/auth/reset. */
  async post(path, body) {
    const answer = await this.#send(json("POST", path, body), { exchange: ++this.#exchanges });
    if (!answer.ok) throw await refused(answer);
  }

  /** Throws the access token away, as if the server had ended it before its time; the session stays. */
  expireNow() {
    if (!this.#access) return;
    this.#access = { ...this.#access, token: "expired", deadline: performance.now(), isThrownAway: true };
  }

  /**
   * Signs out. Without a connection too, but then only here: the answer is false, and the server is told as soon as this
   * page, or the next one, can reach it.
   */
  async signOut() {
    this.#storage.setItem(this.#owed, "yes");
    try {
      await this.#payOwed();
      return true;
    } catch (error) {
      if (error instanceof Unreachable || error instanceof Refused) return false;
      throw error;
    } finally {
      this.#forget();
    }
  }

  async signOutEverywhere() {
    await this.json("/api/auth/logout-all", { method: "POST" });
    this.#forget();
  }

  /** Tells the server of a sign-out that it could not be told of before. */
  async #payOwed() {
    if (this.#storage.getItem(this.#owed) === null) return;
    this.#paying ??= this.#pay().finally(() => (this.#paying = null));
    await this.#paying;
  }

  async #pay() {
    const sent = { exchange: ++this.#exchanges, timeoutMs: ATTEMPT_MS };
    const answer = await this.#send({ method: "POST", path: "/api/auth/logout" }, sent);
    if (!answer.ok) throw await refused(answer);
    this.#storage.removeItem(this.#owed);
  }

  /** Another tab may have signed out, or in: then the token here is of a session that is over. */
  #lookAtOtherTabs() {
    const hint = this.#storage.getItem(this.#hint);
    if (!this.#handle || hint === this.#handle) return;
    if (hint === null) return this.#leave(true);
    // Who it is, the cookie's session tells.
    this.#access = null;
    if (this.#listeners.size > 0) this.#refresh(++this.#exchanges).catch(() => {});
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
        if (isOfSpentKey(error)) this.#forgetItem(this.#retryKey, key);
        await pause((error.retryAfterSecs ?? 0) * 1000);
      }
    }
  }

  /** The retry key of the refresh token that the tabs share: the one pending, or a new one. */
  async #pendingKey() {
    if (!this.#storage.getItem(this.#retryKey)) {
      await pause(ABANDONED_LIVES_MS - (Date.now() - Number(this.#storage.getItem(this.#abandonedAt) ?? 0)));
      // Another tab may have begun meanwhile: then its key is ours too.
      if (!this.#storage.getItem(this.#retryKey)) this.#storage.setItem(this.#retryKey, randomKey());
    }
    return this.#storage.getItem(this.#retryKey);
  }

  async #refreshOnce(key, exchange) {
    const sent = performance.now();
    const signIn = this.#signIn;
    const hint = this.#storage.getItem(this.#hint);
    let answer, text;
    try {
      const request = { method: "POST", path: "/api/auth/refresh" };
      answer = await this.#send(request, { retryKey: key, exchange, timeoutMs: ATTEMPT_MS });
      text = await answer.text();
    } catch (error) {
      this.#abandonedNow();
      throw error;
    }
    const document = parsed(text);
    if (answer.ok && document?.access_token) {
      if (document.rotated) this.#forgetItem(this.#retryKey, key);
      // What was sent before somebody signed out here must not sign them in again.
      if (this.#signIn !== signIn) throw new SignedOut("The session has ended");
      // Another tab may have signed in as somebody else: what this page was about to repeat is not theirs.
      if (this.user && this.user.id !== document.user.id) this.#signIn++;
      if (this.#storage.getItem(this.#hint) === hint) this.#storage.setItem(this.#hint, document.session);
      return this.#accept(document, sent, exchange, this.user !== null);
    }
    // Only a 401 in our own words ends the session; a captive portal or a broken proxy does not speak them.
    if (answer.status === 401 && document?.type?.startsWith("urn:latchkey:")) {
      // Another tab may have signed in anew meanwhile: only what this request knew of is forgotten.
      this.#forgetItem(this.#retryKey, key);
      this.#forgetItem(this.#hint, hint);
      if (this.#signIn === signIn) this.#leave();
      throw new SignedOut(document.title);
    }
    throw new Refused(answer, document);
  }

  #accept(grant, sent, exchange, isElsewhere = false) {
    const number = ++this.#number;
    this.#access = { token: grant.access_token, number, deadline: sent + grant.expires_in * 1000 };
    this.#handle = grant.session;
    this.#become(grant.user, isElsewhere);
    this.#watch({ kind: "token", exchange, expiresInSecs: grant.expires_in, rotated: grant.rotated });
    return grant.user;
  }

  #become(user, isElsewhere) {
    const before = this.#user;
    this.#user = user;
    if (before?.id === user?.id) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(user, before, isElsewhere);
      } catch (error) {
        // A mistake of the application's, told as one, and no reason to lose the session.
        setTimeout(() => {
          throw error;
        });
      }
    }
  }

  /** Forgets the session that this page was in. */
  #forget() {
    // The retry key goes with it: it belongs to a token of a session that is over.
    if (this.#storage.getItem(this.#hint) === this.#handle) this.#storage.removeItem(this.#retryKey);
    this.#forgetItem(this.#hint, this.#handle);
    this.#leave();
  }

  #leave(isElsewhere = false) {
    this.#signIn++;
    this.#access = null;
    this.#handle = null;
    this.#become(null, isElsewhere);
  }

  #abandonedNow() {
    this.#storage.setItem(this.#abandonedAt, String(Date.now()));
  }

  async #send({ request, method, path, body, headers, options }, { token, retryKey, exchange, timeoutMs }) {
    const fields = new Headers(request?.headers ?? headers);
    if (token) fields.set("Authorization", `Bearer ${token}`);
    if (retryKey) fields.set("Idempotency-Key", retryKey);
    const address = new URL(path, this.#home);
    // Made before it is sent: a mistake in it is the caller's, and no lack of a connection.
    const made = new Request(request?.clone() ?? address, {
      ...(request ? {} : { method, body }),
      ...(isStream(body) && { duplex: "half" }),
      ...(timeoutMs && { signal: AbortSignal.timeout(timeoutMs) }),
      credentials: address.origin === this.#home ? "include" : "same-origin",
      redirect: "error",
      ...options,
      headers: fields,
    });
    const step = { exchange, method, path };
    const sent = performance.now();
    this.#watch({ kind: "request", ...step });
    let status = 0; // no answer
    try {
      const answer = await fetch(made);
      status = answer.status;
      return answer;
    } catch (error) {
      if (!timeoutMs && made.signal.aborted) throw error; // the caller's own wish
      throw new Unreachable("The server cannot be reached", { cause: error });
    } finally {
      this.#watch({ kind: "answer", ...step, status, ms: performance.now() - sent });
    }
  }

  /** Removes an item only if it still is what the caller knew: another tab may have put its own there. */
  #forgetItem(name, known) {
    if (this.#storage.getItem(name) === known) this.#storage.removeItem(name);
  }
}

function mayRetry(error) {
  return !(error instanceof Refused) || error.status >= 500 || [409, 429].includes(error.status) || isOfSpentKey(error);
}

/** Row 5a of the decision: the key belongs to the token before. */
const isOfSpentKey = (error) => error.problem?.type === "urn:latchkey:retry_key_reused";

const isStream = (body) => typeof ReadableStream === "function" && body instanceof ReadableStream;

/** localStorage, or the memory of this page where there is none or it may not be used. */
function storage() {
  try {
    if (globalThis.localStorage) return globalThis.localStorage;
  } catch {
    // A browser that is told to keep nothing throws.
  }
  const items = new Map();
  return {
    getItem: (name) => items.get(name) ?? null,
    setItem: (name, value) => items.set(name, String(value)),
    removeItem: (name) => items.delete(name),
  };
}

/** 128 random bits. `crypto.randomUUID` is absent on http in a local network. */
function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What `fetch` takes as a body goes as it is; anything else goes as JSON. */
const SENT_AS_IS = ["FormData", "Blob", "URLSearchParams", "ReadableStream", "ArrayBuffer"];

function encoded(body, headers) {
  const isSentAsIs =
    body === undefined ||
    body === null ||
    typeof body === "string" ||
    ArrayBuffer.isView(body) ||
    SENT_AS_IS.some((name) => globalThis[name] && body instanceof globalThis[name]);
  if (isSentAsIs) return { body, headers };
  const fields = new Headers(headers);
  if (!fields.has("Content-Type")) fields.set("Content-Type", "application/json");
  return { body: JSON.stringify(body), headers: fields };
}

const json = (method, path, body) => ({ method, path, ...encoded(body) });

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
