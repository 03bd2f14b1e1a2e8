// The page: signs in, shows who you are, and lets you watch the token expire and be refreshed.

import { Refused, Session, SignedOut } from "./session.js";

const TIMELINE_LEN_MAX = 40;
const ASK_EVERY_MS = 2000;
const DRAW_EVERY_MS = 200;

const element = (id) => document.getElementById(id);
const session = new Session({ watch: note });
let lifeMs = 0; // of the access token when it was issued, for the bar

function show(isSignedIn) {
  element("sign-in").hidden = isSignedIn;
  element("signed-in").hidden = !isSignedIn;
  if (isSignedIn) {
    element("name").textContent = session.user.name;
    element("role").textContent = session.user.role === "admin" ? "(administrator)" : "";
  } else {
    element("timeline").replaceChildren();
    element("keep-asking").checked = false;
    element("username").focus();
  }
}

function say(text) {
  element("message").textContent = text;
}

/** Runs one action of the user, and turns what goes wrong into words. */
async function attempt(action) {
  try {
    say("");
    await action();
  } catch (error) {
    if (error instanceof SignedOut) {
      show(false);
      say(`${error.message}. Please sign in.`);
    } else if (error instanceof Refused) {
      say(error.message);
    } else {
      say("The server cannot be reached. You are still signed in.");
    }
  }
}

function note(event) {
  if (event.kind === "token") {
    lifeMs = event.expiresInSecs * 1000;
    return addLine(`new access token for ${event.expiresInSecs} s${event.rotated ? ", refresh token rotated" : ""}`);
  }
  if (event.kind === "answer") addLine(`${event.method} ${event.path} → ${event.status}`, event.status);
}

function addLine(text, status) {
  const line = document.createElement("li");
  line.textContent = text;
  if (status === 401) line.classList.add("refused");
  element("timeline").prepend(line);
  while (element("timeline").children.length > TIMELINE_LEN_MAX) element("timeline").lastChild.remove();
}

function draw() {
  const remaining = session.remainingMs;
  element("remaining").value = lifeMs ? remaining / lifeMs : 0;
  element("seconds").textContent = remaining ? `${Math.ceil(remaining / 1000)} s left` : "expired";
}

const ask = () => attempt(() => session.fetch("/api/me"));

element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await session.signIn(element("username").value, element("password").value);
    element("password").value = "";
    show(true);
  });
});
element("ask").addEventListener("click", ask);
element("expire").addEventListener("click", () => session.expireNow());
element("sign-out").addEventListener("click", () =>
  attempt(async () => {
    await session.signOut();
    show(false);
    say("You are signed out.");
  }),
);
element("sign-out-everywhere").addEventListener("click", () =>
  attempt(async () => {
    await session.signOutEverywhere();
    show(false);
    say("You are signed out everywhere.");
  }),
);

setInterval(draw, DRAW_EVERY_MS);
setInterval(() => element("keep-asking").checked && ask(), ASK_EVERY_MS);

if (session.mayResume) await attempt(() => session.resume());
show(session.user !== null);
