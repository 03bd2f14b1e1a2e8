// Administration: users, everybody's sessions, and what the audit logs say.

import { badge, button, element, fill, make, moment, onSubmit, pager, query } from "./dom.js";
import { draw } from "./picture.js";

const USERS = "/api/admin/users";
const SESSIONS = "/api/admin/sessions";
const PAGE_LEN = 25;
const TYPING_MS = 250; // after the last key, before the search

const EVENTS = {
  signed_in: "signed in",
  sign_in_refused: "log-in refused",
  signed_out: "signed out",
  signed_out_everywhere: "signed out everywhere",
  password_changed: "changed their password",
  ahead: "token ahead of the record, healed",
  concurrent: "two refreshed at once, both got the same token",
  retried: "lost answer given again",
  superseded: "late duplicate of a refresh, got nothing",
  reused: "spent token presented again, session ended",
  user_added: "was added",
  user_deleted: "was deleted",
  password_set: "got a password from an administrator",
  user_disabled: "was disabled",
  user_enabled: "was enabled",
  session_revoked: "session ended by an administrator",
  key_rotated: "a new key signs",
  key_retired: "a key was retired",
  clock_accepted: "the system clock was accepted, all sessions ended",
  restored: "the store was restored from a backup",
  role_changed: "got another role",
  code_issued: "got a link to choose a password",
  password_reset: "chose a password with a link",
  sessions_revoked: "all sessions ended by an administrator",
};

const roleName = (role) => (role === "admin" ? "administrator" : role);

/** Whose sessions the view of all sessions is to show when it is entered next. */
let sessionsOf = null;

/** Asks in a dialog; what `action` throws is said there. */
function confirm({ attempt }, { title, text, label, action }) {
  const dialog = element("confirming");
  element("confirming-title").textContent = title;
  element("confirming-text").textContent = text;
  const confirmed = () => attempt(async () => {
    await action();
    dialog.close();
  });
  element("confirm").replaceWith(button(label, confirmed, { id: "confirm", class: "danger" }));
  dialog.showModal();
}

/** Calls `search` when typing has paused. */
function whenTyped(input, search) {
  let timer;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, TYPING_MS);
  });
}

export function usersView(page) {
  const { session, attempt, say } = page;
  const table = element("users");
  const search = element("user-search");
  const managing = element("managing");
  const list = pager(
    element("users-pages"),
    attempt,
    (after) => session.json(USERS + query({ search: search.value, after, limit: PAGE_LEN })),
    ({ users }) => fill(table, ["Name", "Role", "State", "Sessions", "Added", ""], users.map(row), "Nobody of that name."),
  );
  const row = (user) => [
    make("b", {}, user.name),
    user.role === "admin" ? badge("administrator") : "user",
    user.disabled ? badge("disabled", "bad") : "enabled",
    user.sessions,
    moment(user.created),
    button("Manage", () => manage(user), { "data-user": user.id, "aria-label": `Manage ${user.name}` }),
  ];

  whenTyped(search, () => attempt(list.first));

  element("add-user").addEventListener("click", () => element("adding").showModal());
  onSubmit(element("add"), attempt, async ({ username, role, password }) => {
    const body = { username, role, ...(password && { password }) };
    const user = await session.json(USERS, { method: "POST", body });
    element("adding").close();
    await list.again();
    if (user.reset) showLink(user.name, user.reset);
    else say(`${user.name} is added.`);
  });

  /** The dialog of one user. Each action changes the user and shows what came of it. */
  function manage(user) {
    const path = `${USERS}/${user.id}`;
    const change = (changes, words) => act(async () => {
      describe(await session.json(path, { method: "PATCH", body: changes }));
      return words;
    });
    const act = (action) => attempt(async () => say(await action()));

    function describe(now) {
      element("managing-title").textContent = now.name;
      const sessions = `${now.sessions} session${now.sessions === 1 ? "" : "s"}`;
      const state = [badge(roleName(now.role)), " ", badge(now.disabled ? "disabled" : "enabled", now.disabled ? "bad" : "good")];
      element("managing-state").replaceChildren(...state, ` ${sessions}, added `, moment(now.created));
      const focused = document.activeElement?.dataset.action;
      element("managing-actions").replaceChildren(
        now.disabled
          ? button("Enable", () => change({ disabled: false }, `${now.name} is enabled.`), { "data-action": "state" })
          : button("Disable", () => change({ disabled: true }, `${now.name} is disabled; all sessions have ended.`), { "data-action": "state" }),
        now.role === "admin"
          ? button("Make a user", () => change({ role: "user" }, `${now.name} is a user.`), { "data-action": "role" })
          : button("Make an administrator", () => change({ role: "admin" }, `${now.name} is an administrator.`), { "data-action": "role" }),
        button("Show sessions", () => {
          sessionsOf = now;
          managing.close();
          location.hash = "all-sessions";
        }),
        button("End all sessions", endAll, { "data-action": "end" }),
        button("New password by link", () => attempt(async () => showLink(now.name, await session.json(`${path}/reset`, { method: "POST" })))),
        button("Delete", () => confirm(page, deletion(now)), { class: "danger" }),
      );
      managing.querySelector(`[data-action="${focused}"]`)?.focus();
    }

    const endAll = () => act(async () => {
      await session.json(`${path}/sessions`, { method: "DELETE" });
      describe(await session.json(path));
      return "All sessions have ended.";
    });

    const deletion = ({ name }) => ({
      title: `Delete ${name}?`,
      text: "The user and all their sessions are gone at once. This cannot be undone; disabling can.",
      label: `Delete ${name}`,
      async action() {
        await session.json(path, { method: "DELETE" });
        managing.close();
      },
    });

    describe(user);
    managing.showModal();
    managing.addEventListener("close", () => attempt(async () => {
      if (!session.user) return;
      await list.again();
      (table.querySelector(`[data-user="${user.id}"]`) ?? document.querySelector("#view-users h1")).focus();
    }), { once: true });
  }

  function showLink(name, { code, expires }) {
    const until = moment(expires, true);
    element("linking-text").replaceChildren(`With this link ${name} chooses a password. It works once, until `, until, ", and is shown only now.");
    element("link").value = `${location.origin}/#reset=${code}`;
    element("linking").showModal();
    element("link").select();
  }
  element("linking").addEventListener("close", () => (element("link").value = ""));
  element("copy").addEventListener("click", () => attempt(async () => {
    await navigator.clipboard.writeText(element("link").value);
    say("Copied.");
  }));

  return { enter: () => list.first() };
}

export function allSessionsView(page) {
  const { session, attempt, say } = page;
  const search = element("session-search");
  const endAll = element("end-users-sessions");
  let user = null; // whose sessions are shown, or everybody's
  const list = pager(
    element("sessions-pages"),
    attempt,
    (after) => session.json(SESSIONS + query({ user: user?.id ?? "", after, limit: PAGE_LEN })),
    ({ sessions }) => fill(element("all-sessions"), ["User", "Device", "Address", "Signed in", "Last refresh", ""], sessions.map(row), "No sessions."),
  );
  const row = (one) => [
    make("b", {}, one.user.name),
    one.label || "Unknown device",
    one.address,
    moment(one.created),
    moment(one.last_refresh),
    button("End", () => end(one), { "aria-label": `End ${one.label} of ${one.user.name}` }),
  ];

  const end = (one) => attempt(async () => {
    await session.json(`${SESSIONS}/${one.session}`, { method: "DELETE" });
    await list.again();
    document.querySelector("#view-all-sessions h1").focus();
    say(`The session of ${one.user.name} has ended.`);
  });

  endAll.addEventListener("click", () => confirm(page, {
    title: `End all sessions of ${user.name}?`,
    text: "On every device they have to sign in again.",
    label: "End all",
    async action() {
      await session.json(`${USERS}/${user.id}/sessions`, { method: "DELETE" });
      await list.first();
    },
  }));

  function choose(chosen) {
    user = chosen;
    endAll.hidden = !user;
    endAll.textContent = user && `End all of ${user.name}`;
    element("matches").replaceChildren();
    return list.first();
  }

  /** One match is meant, several are to choose from. */
  async function find() {
    const text = search.value;
    if (!text) return choose(null);
    const { users } = await session.json(USERS + query({ search: text, limit: 10 }));
    if (search.value !== text) return;
    const exact = users.length === 1 ? users[0] : users.find(({ name }) => name === text);
    if (exact) return choose(exact);
    const pick = (one) => button(one.name, () => attempt(() => {
      search.value = one.name;
      return choose(one);
    }));
    element("matches").replaceChildren(...(users.length ? users.map(pick) : ["Nobody of that name."]));
  }
  whenTyped(search, () => attempt(find));

  function enter() {
    search.value = sessionsOf?.name ?? "";
    const chosen = sessionsOf;
    sessionsOf = null;
    return choose(chosen);
  }
  return { enter };
}

export function auditView({ session, attempt }) {
  const log = element("log");
  const list = pager(
    element("audit-pages"),
    attempt,
    (before) => session.json("/api/admin/audit" + query({ log: log.value, before, limit: PAGE_LEN })),
    ({ entries }) => fill(element("audit"), ["When", "Who", "What", "From"], entries.map(row), "Nothing yet."),
  );
  const row = ({ time, name, user, event, by, by_name, count, address, other_address }) => [
    moment(time, true),
    make("b", {}, name ?? (user ? `user ${user}` : "")),
    make(
      "span",
      { class: ["reused", "sign_in_refused"].includes(event) && "error" },
      EVENTS[event] ?? event.replaceAll("_", " "),
      by && `, by ${by_name ?? `user ${by}`}`,
      count > 1 ? ` (${count} times)` : null,
    ),
    (address ?? "") + (other_address ? `, before from ${other_address}` : ""),
  ];
  log.addEventListener("change", () => attempt(list.first));

  return {
    async enter() {
      const [stats] = await Promise.all([session.json("/api/admin/stats"), list.first()]);
      draw(element("last-day"), stats);
    },
  };
}
