// Small helpers for the page's elements: find, make, tell the time, fill tables, page through lists.

export const element = (id) => document.getElementById(id);

/** An element with attributes, `class` among them; a function is a listener, what is false or null is left out. */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value != null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const button = (label, click, attributes = {}) =>
  make("button", { type: "button", click, ...attributes }, label);

export const badge = (text, kind = "") => make("span", { class: `badge ${kind}` }, text);

const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relatively = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** A moment, given in seconds of Unix time: how far away it is, or with `isExact` the date and time. */
export function moment(secs, isExact) {
  const away = secs - Date.now() / 1000;
  const [unit, length] = UNITS.find(([, length]) => Math.abs(away) >= length) ?? [];
  const date = new Date(secs * 1000);
  const words = unit ? relatively.format(Math.round(away / length), unit) : away > 0 ? "in a moment" : "just now";
  const time = { datetime: date.toISOString(), title: exactly.format(date) };
  return make("time", time, isExact ? exactly.format(date) : words);
}

/** Fills a table. On a phone each row is a card, and its cells say which column they are of. */
export function fill(table, columns, rows, whenEmpty) {
  const head = make(
    "tr",
    { role: "row" },
    ...columns.map((name) => make("th", { role: "columnheader", scope: "col" }, name)),
  );
  const body = rows.map((cells) =>
    make(
      "tr",
      { role: "row" },
      ...cells.map((cell, at) => make("td", { role: "cell", "data-column": columns[at] }, cell)),
    ),
  );
  const empty = make(
    "tr",
    { role: "row" },
    make("td", { role: "cell", colspan: columns.length, class: "hint" }, whenEmpty),
  );
  table.setAttribute("role", "table");
  table.replaceChildren(
    table.caption,
    make("thead", { role: "rowgroup" }, head),
    make("tbody", { role: "rowgroup" }, ...(body.length ? body : [empty])),
  );
}

/**
 * A list that comes by the page. `load(cursor)` fetches what begins at a cursor, null for the start; `draw(answer)`
 * shows it; the answer's `next` is the next cursor or null.
 */
export function pager(place, attempt, load, draw) {
  let cursors = [null];
  let next = null;
  let turn = 0; // only the last asked for is drawn, whichever comes last
  const where = make("span", { "aria-live": "polite" });
  const back = button("Previous", () => turnTo(cursors.length > 1 && cursors.slice(0, -1)));
  const forth = button("Next", () => turnTo(next !== null && [...cursors, next]));
  place.replaceChildren(back, where, forth);

  const turnTo = (target) => target && attempt(() => show(target));

  async function show(target) {
    const mine = ++turn;
    const answer = await load(target.at(-1));
    if (mine !== turn) return;
    [cursors, next] = [target, answer.next];
    draw(answer);
    where.textContent = `Page ${cursors.length}`;
    place.hidden = cursors.length === 1 && next === null;
    // Not `disabled`: that would take the focus away from who pages with the keyboard.
    back.ariaDisabled = String(cursors.length === 1);
    forth.ariaDisabled = String(next === null);
  }

  return { first: () => show([null]), again: () => show(cursors) };
}

/** Runs `action` with the form's values when it is sent, once at a time. */
export function onSubmit(form, attempt, action) {
  let isBusy = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    await attempt(() => action(Object.fromEntries(new FormData(form)), form));
    isBusy = false;
  });
}

/** A query string of what is there. */
export function query(members) {
  const present = Object.entries(members).filter(([, value]) => value !== null && value !== "");
  return present.length ? `?${new URLSearchParams(present)}` : "";
}
