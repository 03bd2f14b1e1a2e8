// Administration: users, everybody's sessions, and what the audit logs say.

import { badge, button, element, fill, make, moment, onSubmit, pager, query } from "./dom.js";
import { draw } from "./picture.js";

const USERS = "/api/admin/users";
const SESSIONS = "/api/admin/sessions";
const PAGE_LEN = 25;
const TYPING_MS = 250; // after the last key, before the search

/** What the names of events do not say by themselves. */
const WORDS = {
  sign_in_refused: "log-in refused",
  ahead: "token ahead of the record, healed",
  concurrent: "two refreshed at once, both got the same token",
  retried: "lost answer given again",
  superseded: "late duplicate of a refresh, got nothing",
  reused: "spent token presented again, session ended",
  code_issued: "link to choose a password issued",
  password_reset: "password chosen with a link",
  restored: "store restored from a backup",
};

/** Whose sessions the view of all sessions is to show when it is entered next. */
let sessionsOf = null;

/** Asks in a dialog; what `action` throws is said there. */
function confirm({ attempt }, { title, text, label, action }) {
  const dialog = element("confirming");
  element("confirming-title").textContent = title;
  element("confirming-text").textContent = text;
  const confirmed = () =>
    attempt(async () => {
      await action();
      dialog.close();
    });
  element("confirm").replaceWith(button(label, confirmed, { id: "confirm", class: "danger" }));
  dialog.showModal();
}

/** Calls `search` when typing has paused, unless the view was left meanwhile. */
function whenTyped(input, search) {
  let timer;
  const isSeen = () => !input.closest("section").hidden;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => isSeen() && search(), TYPING_MS);
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
    ({ users }) =>
      fill(table, ["Name", "Role", "State", "Sessions", "Added", "Action"], users.map(row), "Nobody of that name."),
  );
  const badges = ({ role, disabled }) => [
    role === "admin" ? badge("administrator") : badge("user"),
    " ",
    disabled ? badge("disabled", "bad") : badge("enabled", "good"),
  ];
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

  /** The dialog of one user. Each action changes the user and says what came of it. */
  function manage(user) {
    const path = `${USERS}/${user.id}`;
    const { name } = user;
    let farewell = "";

    const change = (body, words) => async () => {
      describe(await session.json(path, { method: "PATCH", body }));
      say(`${name} is ${words}.`);
    };
    const showSessions = () => {
      sessionsOf = user;
      managing.close();
      location.hash = "all-sessions";
    };
    const endSessions = async () => {
      await session.json(`${path}/sessions`, { method: "DELETE" });
      describe(await session.json(path));
      say("All sessions have ended.");
    };
    const issueLink = async () => showLink(name, await session.json(`${path}/reset`, { method: "POST" }));
    const deletion = {
      title: `Delete ${name}?`,
      text: "The user and all their sessions are gone at once. This cannot be undone; disabling can.",
      label: `Delete ${name}`,
      async action() {
        await session.json(path, { method: "DELETE" });
        farewell = `${name} is deleted.`;
        managing.close();
      },
    };

    const actions = ({ disabled, role }) => [
      disabled
        ? ["Enable", change({ disabled: false }, "enabled")]
        : ["Disable", change({ disabled: true }, "disabled; all sessions have ended")],
      role === "admin"
        ? ["Make a user", change({ role: "user" }, "a user")]
        : ["Make an administrator", change({ role: "admin" }, "an administrator")],
      ["Show sessions", showSessions],
      ["End all sessions", endSessions],
      ["New password by link", issueLink],
      ["Delete", () => confirm(page, deletion), "danger"],
    ];

    function describe(now) {
      const sessions = `${now.sessions} session${now.sessions === 1 ? "" : "s"}`;
      element("managing-state").replaceChildren(...badges(now), ` ${sessions}, added `, moment(now.created));
      const place = element("managing-actions");
      const focused = [...place.children].indexOf(document.activeElement);
      const made = ([label, action, kind]) => button(label, () => attempt(action), { class: kind });
      place.replaceChildren(...actions(now).map(made));
      place.children[focused]?.focus();
    }

    const closed = async () => {
      await list.again();
      (table.querySelector(`[data-user="${user.id}"]`) ?? document.querySelector("#view-users h1")).focus();
      say(farewell);
    };

    element("managing-title").textContent = name;
    describe(user);
    managing.showModal();
    managing.addEventListener("close", () => session.user && attempt(closed), { once: true });
  }

  function showLink(name, { link, expires }) {
    const until = moment(expires, true);
    element("linking-text").replaceChildren(
      `With this link ${name} chooses a password. It works once, until `,
      until,
      ", and is shown only now.",
    );
    element("link").value = link;
    element("linking").showModal();
    element("link").select();
  }
  element("linking").addEventListener("close", () => (element("link").value = ""));
  element("copy").addEventListener("click", () =>
    attempt(async () => {
      element("link").select();
      const copied = navigator.clipboard.writeText(element("link").value);
      say(
        await copied.then(
          () => "Copied.",
          () => "The browser does not allow it; the link is selected.",
        ),
      );
    }),
  );

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
    ({ sessions }) =>
      fill(
        element("all-sessions"),
        ["User", "Device", "Address", "Signed in", "Last refresh", "Action"],
        sessions.map(row),
        "No sessions.",
      ),
  );
  const row = (one) => [
    make("b", {}, one.user.name),
    one.label || "Unknown device",
    one.address,
    moment(one.created),
    moment(one.last_refresh),
    button("End", () => end(one), { "aria-label": `End ${one.label} of ${one.user.name}` }),
  ];

  const end = (one) =>
    attempt(async () => {
      await session.json(`${SESSIONS}/${one.session}`, { method: "DELETE" });
      await list.again();
      document.querySelector("#view-all-sessions h1").focus();
      say(`The session of ${one.user.name} has ended.`);
    });

  endAll.addEventListener("click", () =>
    confirm(page, {
      title: `End all sessions of ${user.name}?`,
      text: "On every device they have to sign in again.",
      label: "End all",
      async action() {
        await session.json(`${USERS}/${user.id}/sessions`, { method: "DELETE" });
        await list.first();
      },
    }),
  );

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
    const pick = (one) =>
      button(one.name, () =>
        attempt(() => {
          search.value = one.name;
          return choose(one);
        }),
      );
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
      WORDS[event] ?? event.replaceAll("_", " "),
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
