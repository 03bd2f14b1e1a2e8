// The page's wiring: which view is shown, who is signed in, and what to say when something goes wrong.

import { passwordView, sessionsView } from "./account.js";
import { allSessionsView, auditView, usersView } from "./administration.js";
import { cycleView } from "./cycle.js";
import { element, onSubmit } from "./dom.js";
import { Refused, Session, SignedOut, Unreachable } from "./session.js";

const ONE_TIME_CODE = /^#(setup|reset)=([\w-]+)$/;

const session = new Session({ watch: (event) => cycle.note(event) });
const page = { session, attempt, say };
const cycle = cycleView(page);
const views = {
  session: cycle,
  sessions: sessionsView(page),
  password: passwordView(page),
  users: usersView(page),
  "all-sessions": allSessionsView(page),
  audit: auditView(page),
};
let shown = null; // the name of the view that is seen
let code = null; // the one-time code of the address, which stands nowhere else

/** Says something where the user is: in the dialog that is open, or on the page. */
function say(text, isError = false) {
  const message = [...document.querySelectorAll("dialog[open] .message, main > .message")].at(-1);
  document.querySelectorAll(".message").forEach((other) => (other.textContent = ""));
  message.classList.toggle("error", isError);
  message.textContent = text;
}

/** Runs one action of the user, and turns what goes wrong into words. */
async function attempt(action) {
  try {
    say("");
    await action();
  } catch (error) {
    if (error instanceof SignedOut) {
      // What is answered late must not disturb who is typing a password already.
      if (shown === "sign-in" && !session.user) return;
      enter();
      const name = session.user?.name;
      say(name ? `Another tab has signed in as ${name}.` : `${error.message}. Please sign in.`, true);
    } else if (error instanceof Refused) {
      say(sentence(error), true);
    } else if (error instanceof Unreachable) {
      say(`${error.message}.${session.user ? " You are still signed in." : ""}`, true);
    } else {
      say("The page made a mistake. Please reload it.", true);
      throw error;
    }
  }
}

function sentence({ message, retryAfterSecs }) {
  const wait = retryAfterSecs ? ` Try again in ${retryAfterSecs} s.` : "";
  return `${message[0].toUpperCase()}${message.slice(1)}.${wait}`;
}

/** Shows who is signed in, and the view of the address. */
function enter() {
  const { user } = session;
  const isAdmin = user?.role === "admin";
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  // What was typed, passwords above all, goes with the view.
  [...document.forms].forEach((form) => form.reset());
  element("who").hidden = element("views").hidden = !user;
  element("name").textContent = user?.name ?? "";
  element("role").hidden = !isAdmin;
  document.querySelectorAll("[data-admin]").forEach((link) => (link.hidden = !isAdmin));
  if (!user) clear();
  const name = location.hash.slice(1);
  const link = document.querySelector(`#views a[href="#${CSS.escape(name)}"]:not([hidden])`);
  show(user ? (link ? name : "session") : "sign-in");
}

/** Leaves nothing of what was seen to whoever comes next. */
function clear() {
  cycle.clear();
  emptyTables(document);
  document.querySelectorAll("figure, #matches, dialog h2[tabindex]").forEach((place) => place.replaceChildren());
  document.querySelectorAll("[type=search]").forEach((input) => (input.value = ""));
}

const emptyTables = (place) => place.querySelectorAll("table").forEach((table) => table.replaceChildren(table.caption));

function show(name) {
  shown = name;
  document.querySelectorAll("main > section").forEach((section) => (section.hidden = section.id !== `view-${name}`));
  document
    .querySelectorAll("#views a")
    .forEach((link) => (link.ariaCurrent = link.hash === `#${name}` ? "page" : null));
  const section = element(`view-${name}`);
  const heading = section.querySelector("h1");
  document.title = `${heading.textContent} · Latchkey`;
  (views[name] ? heading : section.querySelector("input")).focus({ preventScroll: true });
  scrollTo(0, 0);
  emptyTables(section);
  if (views[name]?.enter) return attempt(views[name].enter);
}

/** Takes a one-time code out of the address, so that neither history nor a bookmark keeps it, and shows its form. */
function takeCode() {
  const found = ONE_TIME_CODE.exec(location.hash);
  if (!found) return false;
  history.replaceState(null, "", location.pathname);
  code = found[2];
  say("");
  show(found[1]);
  return true;
}

/** Shows the passwords of a form, or hides them. */
function reveal(form, isShown) {
  form.querySelectorAll("[autocomplete$=password]").forEach((input) => (input.type = isShown ? "text" : "password"));
}

// What another tab does to the session is seen at once: nobody goes on typing as somebody else.
session.onUser((user, before, isElsewhere) => {
  if (!isElsewhere || !before) return;
  enter();
  say(user ? `Another tab has signed in as ${user.name}.` : "Another tab has signed out. Please sign in.", true);
});

onSubmit(element("sign-in"), attempt, async ({ username, password }) => {
  await session.signIn(username, password);
  enter();
});
onSubmit(element("setup"), attempt, async (chosen) => {
  await session.signInWith("/api/setup", { code, ...chosen });
  code = null;
  enter();
});
onSubmit(element("reset"), attempt, async (chosen) => {
  await session.post("/api/auth/reset", { code, ...chosen });
  code = null;
  enter();
  if (!session.user) element("sign-in").elements.username.value = chosen.username;
  say("The password is set. It signs you in from now on.");
});
/** Ends sessions, this one among them, and shows the sign-in. */
const leave = (end, words) => () =>
  attempt(async () => {
    const isTold = await end();
    enter();
    say(isTold === false ? `${words} The server will be told when it can be reached.` : words);
  });
element("sign-out").addEventListener(
  "click",
  leave(() => session.signOut(), "You are signed out."),
);
element("sign-out-everywhere").addEventListener(
  "click",
  leave(() => session.signOutEverywhere(), "You are signed out everywhere."),
);
element("skip").addEventListener("click", (event) => {
  event.preventDefault();
  element("content").focus();
});
document.addEventListener("click", ({ target }) => target.closest("[data-closes]") && target.closest("dialog").close());
document.addEventListener(
  "change",
  ({ target }) => target.matches("[data-reveals]") && reveal(target.form, target.checked),
);
document.addEventListener("reset", ({ target }) => reveal(target, false));
element("adding").addEventListener("close", () => element("add").reset());
addEventListener("hashchange", () => {
  if (takeCode()) return;
  const isView = location.hash.slice(1) in views;
  if (isView && session.user) enter();
});

if (!takeCode()) {
  if (session.mayResume) await attempt(() => session.resume());
  if (shown === null) enter();
}
