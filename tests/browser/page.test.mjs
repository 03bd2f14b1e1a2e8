// The page in a real browser: sign in, watch a token expire and be refreshed, sign out, and leave no token behind.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

import { PASSWORD, startServer } from "./server.mjs";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"];

let browser;
before(async () => (browser = await chromium.launch({ executablePath: EXECUTABLE, args: FLAGS })));
after(() => browser?.close());

/** A page at a server of its own; whatever the console complains about fails the test. */
async function withPage(settings, body) {
  const server = await startServer(settings);
  const context = await browser.newContext();
  const complaints = [];
  const open = async () => {
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(server.url);
    return page;
  };
  try {
    await body({ server, context, open, page: await open() });
    // A refused request is no fault of the page: the browser itself reports each 401 of the cycle.
    const faults = complaints.filter((text) => !/status of (401|409)/.test(text));
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
    server.stop();
  }
}

async function signIn(page, password = PASSWORD) {
  await page.getByLabel("User name").fill("alice");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const signedIn = (page) => page.getByText("Signed in as alice").waitFor();
const timeline = (page) => page.locator("#timeline li").allTextContents();

test("a wrong password is said, the right one signs in", () =>
  withPage({}, async ({ page }) => {
    await signIn(page, "wrong wrong wrong");
    await page.getByText("The user name or the password is wrong").waitFor();
    await signIn(page);
    await signedIn(page);
    await page.getByRole("button", { name: "Ask who I am" }).click();
    await page.getByText("GET /api/me → 200").waitFor();
  }));

test("an expired token is refreshed once and the request repeated", () =>
  withPage({ GRACE_SECS: 0 }, async ({ page }) => {
    await signIn(page);
    await signedIn(page);
    await page.getByRole("button", { name: "Expire now" }).click();
    await page.getByRole("button", { name: "Ask who I am" }).click();
    await page.getByText("GET /api/me → 200").waitFor();
    assert.deepEqual((await timeline(page)).reverse().slice(2), [
      "GET /api/me → 401",
      "POST /api/auth/refresh → 200",
      "new access token for 600 s, refresh token rotated",
      "GET /api/me → 200",
    ]);
  }));

test("a reload goes on in the same session, and so does a second tab", () =>
  withPage({ GRACE_SECS: 0 }, async ({ page, open }) => {
    await signIn(page);
    await signedIn(page);
    await page.reload();
    await signedIn(page);
    const second = await open();
    await signedIn(second);
    for (const tab of [page, second, page]) {
      await tab.getByRole("button", { name: "Expire now" }).click();
      await tab.getByRole("button", { name: "Ask who I am" }).click();
      await tab.getByText("GET /api/me → 200").first().waitFor();
    }
  }));

test("no token is where a script of another page could find it", () =>
  withPage({}, async ({ page, context }) => {
    await signIn(page);
    await signedIn(page);
    const [cookie] = await context.cookies();
    assert.equal(cookie.httpOnly, true);
    assert.equal(cookie.sameSite, "Strict");
    const seen = await page.evaluate(() =>
      [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href, document.documentElement.outerHTML].join("\n"),
    );
    assert.ok(!seen.includes(cookie.value), "the refresh token");
    assert.ok(!/eyJ[\w-]+\./.test(seen), "an access token");
  }));

test("signing out ends the session, here and everywhere", () =>
  withPage({}, async ({ page, context, open }) => {
    await signIn(page);
    await signedIn(page);
    await page.getByRole("button", { name: "Sign out", exact: true }).click();
    await page.getByText("You are signed out.").waitFor();
    assert.deepEqual(await context.cookies(), []);

    await signIn(page);
    await signedIn(page);
    const second = await open();
    await signedIn(second);
    await page.getByRole("button", { name: "Sign out everywhere" }).click();
    await page.getByText("You are signed out everywhere.").waitFor();
    await second.getByRole("button", { name: "Ask who I am" }).click();
    await second.getByText("Please sign in.").waitFor();
  }));

test("a disabled user is thrown out with the next request", () =>
  withPage({}, async ({ server, page }) => {
    await signIn(page);
    await signedIn(page);
    server.run(["user", "disable", "alice"]);
    await page.getByRole("button", { name: "Ask who I am" }).click();
    await page.getByText("Please sign in.").waitFor();
  }));

test("the page fits a phone and follows the dark scheme", () =>
  withPage({}, async ({ page }) => {
    await page.setViewportSize({ width: 360, height: 640 });
    await page.emulateMedia({ colorScheme: "dark" });
    await signIn(page);
    await signedIn(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${width} pixels wide`);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/phone-dark.png` });
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(ground, "rgb(22, 24, 26)");
    await page.setViewportSize({ width: 1024, height: 768 });
    await page.emulateMedia({ colorScheme: "light" });
    await page.getByRole("button", { name: "Ask who I am" }).click();
    await page.getByText("GET /api/me → 200").waitFor();
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/desktop-light.png` });
  }));
