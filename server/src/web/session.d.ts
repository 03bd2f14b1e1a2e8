// The types of session.js, for applications in TypeScript.

/** A user as the server shows them. */
export interface User {
  readonly id: string;
  readonly name: string;
  readonly role: "admin" | "user";
}

/** A problem document of the server (RFC 9457). */
export interface Problem {
  /** `urn:latchkey:` and a code. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  /** What a client does next. */
  readonly action: "refresh" | "login" | "wait" | "retry" | "none";
  readonly request_id: string;
}

/** A refusal of the server. */
export class Refused extends Error {
  readonly name: "Refused";
  readonly status: number;
  /** Null when the answer was no problem document: a proxy's, perhaps. */
  readonly problem: Problem | null;
  /** Seconds to wait before the next attempt, 0 when nothing was said. */
  readonly retryAfterSecs: number;
}

/** The session is over: the user has to sign in again. */
export class SignedOut extends Error {
  readonly name: "SignedOut";
}

/** No answer came: the session is as it was. */
export class Unreachable extends Error {
  readonly name: "Unreachable";
}

/** What the watcher hears of. */
export type CycleEvent =
  | { kind: "request"; exchange: number; method: string; path: string }
  | { kind: "answer"; exchange: number; method: string; path: string; status: number; ms: number }
  | { kind: "token"; exchange: number; expiresInSecs: number; rotated?: boolean };

export interface SessionOptions {
  /** The server's origin, when it is not the page's own; where there is no page it has to be given. */
  base?: string;
  watch?: (event: CycleEvent) => void;
}

/** What `fetch` takes, and as a body also any value that JSON can hold. */
export type FetchOptions = Omit<RequestInit, "body"> & { body?: BodyInit | object | number | boolean | null };

/** `user` is signed in now, or nobody; `isElsewhere` says that another tab has done it. */
export type UserListener = (user: User | null, before: User | null, isElsewhere: boolean) => void;

export class Session {
  constructor(options?: SessionOptions);
  /** Who is signed in, or null. */
  readonly user: User | null;
  /** Whether somebody signed in here before; `resume` finds out if the session still lives. */
  readonly mayResume: boolean;
  /** Milliseconds the access token has left, by this page's own clock. */
  readonly remainingMs: number;
  /** Calls `listener` whenever another user, or nobody any more, is signed in. Returns a function that ends that. */
  onUser(listener: UserListener): () => void;
  /** Throws `Refused` or `Unreachable`. */
  signIn(username: string, password: string): Promise<User>;
  /** Signs in by any path that answers as a log-in does, such as /api/setup. */
  signInWith(path: string, body: object): Promise<User>;
  /** Goes on in the session of the cookie. Throws `SignedOut` when there is none. */
  resume(): Promise<User>;
  /** Like `fetch`, with the access token; a 401 is refreshed and repeated once. Throws `SignedOut` or `Unreachable`. */
  fetch(what: string | URL | Request, options?: FetchOptions): Promise<Response>;
  /** The same, parsed, null without any JSON; throws `Refused` for a refusal. */
  json<T = unknown>(path: string | URL, options?: FetchOptions): Promise<T>;
  /** Posts without a token what needs none, such as /api/auth/reset. */
  post(path: string, body: object): Promise<void>;
  /** Throws the access token away, as if the server had ended it before its time. */
  expireNow(): void;
  /** Whether the server was told; if not, it is told as soon as it can be reached. */
  signOut(): Promise<boolean>;
  signOutEverywhere(): Promise<void>;
}
