// The cycle: a token expires, the page refreshes once and repeats, and two tabs that race stay signed in.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isSignedIn, press, says, signedIn } from "./fixture.mjs";

const EXPIRIES = 10;

/** What the newest line of the timeline says, without how long it took. */
const newest = (page) =>
  page
    .locator("#timeline > li:first-child ol > li")
    .evaluateAll((steps) => steps.map((step) => step.textContent.replace(/ \d+ ms /, "")));

/** Asks and waits for a good answer; without the pointer, so that tabs do it at the same moment. */
const ask = async (page) => {
  const isGood = (answer) => answer.url().endsWith("/api/me") && answer.ok();
  await Promise.all([page.waitForResponse(isGood), page.locator("#ask").dispatchEvent("click")]);
};
const hasExpired = (page) => page.getByText("Access token: expired").waitFor();

test("an expired token is refreshed once and the request repeated, in one line of the timeline", () =>
  signedIn({ GRACE_SECS: 0 }, async ({ page }) => {
    await press(page, "Expire now");
    await hasExpired(page);
    await ask(page);
    await page.getByText("again GET /api/me 200").waitFor();
    assert.deepEqual(await newest(page), [
      "GET /api/me 401",
      "refresh 200new access token for 600 s, refresh token rotated",
      "again GET /api/me 200",
    ]);
  }));

test("a token that is known to have expired is refreshed first, so that nothing is refused", () =>
  signedIn({ ACCESS_TTL_SECS: 1, GRACE_SECS: 0 }, async ({ page }) => {
    const statuses = [];
    page.on("response", (response) => statuses.push(response.status()));
    await hasExpired(page);
    await page.getByLabel("Ask every two seconds").check();
    await page.getByText("GET /api/me 200").nth(1).waitFor();
    assert.deepEqual([...new Set(statuses)], [200]);
    await isSignedIn(page);
  }));

test("the bar drains as the token's life does", () =>
  signedIn({ ACCESS_TTL_SECS: 6 }, async ({ page }) => {
    const values = await page.evaluate(async () => {
      const bar = document.getElementById("remaining");
      const values = [bar.value];
      while (bar.value > 0) {
        await new Promise(requestAnimationFrame);
        if (bar.value !== values.at(-1)) values.push(bar.value);
      }
      return values;
    });
    assert.ok(values.length > 4, `${values}`);
    assert.deepEqual(
      values,
      values.toSorted((a, b) => b - a),
    );
  }));

test("requests at the same moment share one refresh", () =>
  signedIn({}, async ({ page }) => {
    await press(page, "Expire now");
    let refreshes = 0;
    page.on("request", (request) => (refreshes += request.url().endsWith("/api/auth/refresh")));
    await page.evaluate(() => [1, 2, 3, 4].forEach(() => document.getElementById("ask").click()));
    await page.getByText("again GET /api/me 200").nth(3).waitFor();
    assert.equal(refreshes, 1);
  }));

test("a retry key that another tab has spent is replaced, and the refresh goes on", () =>
  signedIn({}, async ({ page, context }) => {
    const keys = [];
    const problem = { type: "urn:latchkey:retry_key_reused", title: "", status: 400, action: "none" };
    await context.route("**/api/auth/refresh", (route) => {
      keys.push(route.request().headers()["idempotency-key"]);
      return keys.length === 1 ? route.fulfill({ status: 400, json: problem }) : route.continue();
    });
    await press(page, "Expire now");
    await ask(page);
    assert.equal(new Set(keys).size, 2, `${keys}`);
  }));

test("an answer that comes after the sign-out disturbs nobody", () =>
  signedIn({}, async ({ page, context }) => {
    let release;
    const released = new Promise((resolve) => (release = resolve));
    await context.route("**/api/me", (route) => released.then(() => route.continue()));
    await press(page, "Ask who I am");
    await press(page, "Sign out");
    await says(page, "You are signed out.");
    await page.locator("#sign-in [name=password]").fill("half a passw");
    const late = page.waitForResponse("**/api/me");
    release();
    await (await late).finished();
    await says(page, "You are signed out.");
    assert.equal(await page.locator("#sign-in [name=password]").inputValue(), "half a passw");
    assert.equal(await page.locator("#timeline li").count(), 0);
  }));

/** Counts how often a tab's requests met an expired token. */
function countExpiries(page) {
  const counted = { count: 0 };
  page.on("response", (answer) => (counted.count += answer.url().endsWith("/api/me") && answer.status() === 401));
  return counted;
}

/** Counts how often a tab refreshed, which it does before anything is refused. */
function countRefreshes(page) {
  const counted = { count: 0 };
  page.on("response", (answer) => (counted.count += answer.url().endsWith("/api/auth/refresh") && answer.ok()));
  return counted;
}

/** No refresh was taken for that of a thief. */
function assertNoReuse(server) {
  const entries = JSON.parse(server.run(["audit", "tail", "--lines", "1000", "--json"]));
  const events = entries.map(({ event }) => event);
  assert.ok(events.includes("signed_in") && !events.includes("reused"), `${events}`);
}

test("two tabs race through ten expiries, and nobody is signed out", () =>
  signedIn({ ACCESS_TTL_SECS: 1, GRACE_SECS: 1 }, async ({ server, page, open }) => {
    const tabs = [page, await open()];
    await isSignedIn(tabs[1]);
    const expiries = tabs.map(countRefreshes);
    while (expiries.some(({ count }) => count < EXPIRIES)) {
      await Promise.all(tabs.map(hasExpired));
      await Promise.all(tabs.map(ask));
    }
    await Promise.all(tabs.map((tab) => isSignedIn(tab)));
    assertNoReuse(server);
  }));

test("two tabs that refresh at the same moment, again and again, stay signed in", () =>
  signedIn({}, async ({ server, page, open }) => {
    const tabs = [page, await open()];
    await isSignedIn(tabs[1]);
    const expiries = tabs.map(countExpiries);
    for (let expiry = 0; expiry < EXPIRIES; expiry++) {
      await Promise.all(tabs.map((tab) => tab.locator("#expire").dispatchEvent("click")));
      await Promise.all(tabs.map(ask));
    }
    await Promise.all(tabs.map((tab) => isSignedIn(tab)));
    assert.deepEqual(
      expiries.map(({ count }) => count),
      [EXPIRIES, EXPIRIES],
    );
    assertNoReuse(server);
  }));
