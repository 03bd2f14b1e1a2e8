// The cycle at work: the access token draining away, and a timeline of requests, 401s, refreshes and repetitions.

import { badge, button, element, make } from "./dom.js";

const TIMELINE_LEN_MAX = 30;
const ASK_EVERY_MS = 2000;
const DRAW_EVERY_MS = 200;
const NEARLY_OVER = 0.2; // of a token's life

const REFRESH = "/api/auth/refresh";

export function cycleView({ session, attempt }) {
  const timeline = element("timeline");
  const keepAsking = element("keep-asking");
  let lifeMs = 0; // of the access token when it was issued, for the bar

  const ask = () => attempt(() => session.fetch("/api/me"));
  element("ask").addEventListener("click", ask);
  element("expire").addEventListener("click", () => {
    session.expireNow();
    draw();
  });
  setInterval(() => keepAsking.checked && !element("view-session").hidden && ask(), ASK_EVERY_MS);
  setInterval(draw, DRAW_EVERY_MS);

  function draw() {
    if (!session.user) return;
    const remaining = session.remainingMs;
    const left = lifeMs ? remaining / lifeMs : 0;
    element("remaining").value = left;
    element("remaining").classList.toggle("low", left < NEARLY_OVER);
    element("seconds").textContent = remaining
      ? `${Math.ceil(remaining / 1000)} s of ${lifeMs / 1000} s left`
      : "expired";
  }

  /** Takes in what the session tells: everything sent for one wish stands in one line of the timeline. */
  function note({ kind, exchange, method, path, status, ms, expiresInSecs, rotated }) {
    const line = timeline.querySelector(`[data-exchange="${exchange}"]`) ?? (kind === "request" && newLine(exchange));
    if (kind === "token") lifeMs = expiresInSecs * 1000;
    // What is answered late may have no line any more.
    if (!line) return;
    const steps = line.lastChild;
    if (kind === "request") {
      const isRepeated = [...steps.children].some((step) => step.dataset.what === method + path);
      const words = path === REFRESH ? "refresh" : `${method} ${path}`;
      const what = make("code", {}, isRepeated && path !== REFRESH ? `again ${words}` : words);
      steps.append(
        make("li", { "data-what": method + path, class: path === REFRESH && "refresh" }, what, " ", badge("…")),
      );
    } else if (kind === "answer") {
      const step = [...steps.children].findLast((step) => step.dataset.what === method + path);
      const kindOfStatus = status === 0 || status >= 400 ? "bad" : "good";
      step.lastChild.replaceWith(badge(status || "no answer", kindOfStatus), ` ${ms.toFixed(0)} ms `);
    } else {
      const also = rotated ? ", refresh token rotated" : "";
      steps.lastChild.append(make("small", {}, `new access token for ${expiresInSecs} s${also}`));
      draw();
    }
  }

  function newLine(exchange) {
    const now = make("span", { class: "hint" }, new Date().toLocaleTimeString());
    const line = make("li", { "data-exchange": exchange }, now, make("ol"));
    timeline.prepend(line);
    while (timeline.children.length > TIMELINE_LEN_MAX) timeline.lastChild.remove();
    return line;
  }

  function clear() {
    timeline.replaceChildren();
    keepAsking.checked = false;
  }

  return { note, clear };
}
