// What every test of the page starts from: a browser, a server of its own, and an eye on the console.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

import { PASSWORD, startServer } from "./server.mjs";

export { PASSWORD };

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"];
const PATIENCE_MS = 15_000;

// A refused request is no fault of the page: the browser itself reports each 401 of the cycle.
const NO_FAULT = /^Failed to load resource: the server responded with a status of 4\d\d/;

let browser;
before(async () => (browser = await chromium.launch({ executablePath: EXECUTABLE, args: FLAGS })));
after(() => browser?.close());

/** A browser with nothing in it; what its console complains about, and what its policy has to stop, is noted. */
async function newPerson(server, options, complaints) {
  const context = await browser.newContext({ locale: "en-GB", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  await context.addInitScript(() =>
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    ),
  );
  const open = async (address = server.url) => {
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(address);
    return page;
  };
  return { context, open };
}

/**
 * A server of its own, and a page at it, which in the end has complained of nothing and holds no token where a script
 * could find one. `person()` gives another browser, which shares no cookie with the first; `options` are Playwright's
 * for a browser context; `tolerates` matches complaints that a test brings about.
 */
export async function withPage({ options, tolerates = NO_FAULT, ...settings }, body) {
  const server = await startServer(settings);
  const complaints = [];
  const people = [];
  const person = async () => {
    const one = await newPerson(server, options, complaints);
    people.push(one.context);
    return one;
  };
  try {
    const { context, open } = await person();
    await body({ server, context, open, person, page: await open(server.setupLink ?? server.url) });
    for (const one of people) for (const page of one.pages()) await holdsNoToken(page);
    assert.deepEqual(
      complaints.filter((text) => !tolerates.test(text)),
      [],
    );
  } catch (error) {
    console.error(server.log.join("\n"));
    throw error;
  } finally {
    await Promise.all(people.map((context) => context.close()));
    server.stop();
  }
}

/** Like `withPage`, with alice signed in. */
export const signedIn = (settings, body) =>
  withPage(settings, async (scene) => {
    await signIn(scene.page);
    await isSignedIn(scene.page);
    await body(scene);
  });

export async function signIn(page, { name = "alice", password = PASSWORD } = {}) {
  await fill(page, "User name", name);
  await fill(page, "Password", password);
  await press(page, "Sign in");
}

/** Fills the field of this label that is seen. */
export const fill = (page, label, text) => page.getByLabel(label, { exact: true }).filter({ visible: true }).fill(text);

export const isSignedIn = (page, name = "alice") => page.getByText(`Signed in as ${name}`, { exact: true }).waitFor();
export const isThrownOut = (page) => page.getByText("Please sign in.").waitFor();
export const says = (page, text) => page.getByRole("status").getByText(text).waitFor();
export const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

/** Adds user-00, user-01 and so on over the API, as alice. */
export async function addUsers(server, count) {
  const post = async (path, body, token) => {
    const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(server.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
  };
  const { access_token: token } = await post("/api/auth/login", { username: "alice", password: PASSWORD });
  for (let number = 0; number < count; number++) {
    await post("/api/admin/users", { username: `user-${String(number).padStart(2, "0")}` }, token);
  }
}

/** Opens a view by its link, and waits until its heading has the focus. */
export async function go(page, link) {
  await page.getByRole("link", { name: link, exact: true }).click();
  await page.locator("h1:focus").waitFor();
}

/** The link that is shown to an administrator once. */
export const shownLink = (page) =>
  page.getByRole("dialog", { name: "A link that works once" }).getByLabel("Link", { exact: true }).inputValue();

/** The lines of a table that has been filled, each the texts of its cells. */
export async function rows(page, table) {
  await page.locator(`#${table} tbody`).waitFor();
  return page
    .locator(`#${table} tbody tr`)
    .evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
}

/** What a script that got into this page, or a look over the shoulder, could find. */
export const seen = (page) =>
  page.evaluate(() =>
    [
      JSON.stringify(localStorage),
      JSON.stringify(sessionStorage),
      document.cookie,
      location.href,
      document.documentElement.outerHTML,
    ].join("\n"),
  );

/** Fails if an access token or this person's refresh token is where a script could find it; every test ends with it. */
export async function holdsNoToken(page) {
  const text = await seen(page);
  for (const cookie of await page.context().cookies()) {
    assert.equal(cookie.httpOnly, true);
    assert.equal(cookie.sameSite, "Strict");
    assert.ok(!text.includes(cookie.value), "the refresh token");
  }
  assert.ok(!/eyJ[\w-]+\./.test(text), "an access token");
}
