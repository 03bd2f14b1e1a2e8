// What is mine: the sessions I am signed in with, and my password.

import { badge, button, element, fill, make, moment, onSubmit } from "./dom.js";

const COLUMNS = ["Device", "Address", "Signed in", "Last refresh", "Ends", "Action"];

export function sessionsView({ session, attempt, say }) {
  let others = [];

  async function enter() {
    const sessions = await session.json("/api/auth/sessions");
    others = sessions.filter(({ current }) => !current);
    element("end-others").hidden = others.length === 0;
    fill(element("my-sessions"), COLUMNS, sessions.map(row), "None.");
  }

  const row = (one) => [
    make("span", {}, `${one.label || "Unknown device"} `, one.current ? badge("this one", "good") : null),
    one.address,
    moment(one.created),
    moment(one.last_refresh),
    moment(one.expires),
    one.current ? "" : button("End", () => end([one], "The session has ended."), { "aria-label": `End ${one.label}` }),
  ];

  const end = (ending, words) =>
    attempt(async () => {
      // One that has ended meanwhile, 404, is what was wanted.
      for (const { session: handle } of ending)
        await session.fetch(`/api/auth/sessions/${handle}`, { method: "DELETE" });
      await enter();
      document.querySelector("#view-sessions h1").focus();
      say(words);
    });
  element("end-others").addEventListener("click", () => end(others, "All your other sessions have ended."));

  return { enter };
}

export function passwordView({ session, attempt, say }) {
  const form = element("change-password");

  onSubmit(form, attempt, async ({ current, new: chosen }) => {
    await session.json("/api/auth/password", { method: "POST", body: { current, new: chosen } });
    form.reset();
    say("The password is changed; your other sessions have ended.");
  });

  // For password managers, which want to know whose password it is.
  const enter = () => (form.elements.username.value = session.user.name);

  return { enter };
}
