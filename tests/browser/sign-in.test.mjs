// Signing in and out: what is said, what a reload and a second tab find, and who is thrown out.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  fill,
  holdsNoToken,
  isSignedIn,
  isThrownOut,
  PASSWORD,
  press,
  says,
  seen,
  signedIn,
  signIn,
  withPage,
} from "./fixture.mjs";

test("a wrong password is said, the right one signs in", () =>
  withPage({}, async ({ page }) => {
    await signIn(page, { password: "wrong wrong wrong" });
    await says(page, "The user name or the password is wrong.");
    await signIn(page);
    await isSignedIn(page);
    await holdsNoToken(page);
    assert.ok(!(await seen(page)).includes(PASSWORD), "the password is not kept");
  }));

test("a password can be shown, and is hidden again once it is used", () =>
  withPage({}, async ({ page }) => {
    const field = page.locator("#sign-in [name=password]");
    await page.getByLabel("Show the password").filter({ visible: true }).check();
    assert.equal(await field.getAttribute("type"), "text");
    await signIn(page);
    await isSignedIn(page);
    assert.equal(await field.getAttribute("type"), "password");
  }));

test("a reload goes on in the same session, and so does a second tab", () =>
  signedIn({ GRACE_SECS: 0 }, async ({ page, open }) => {
    await page.reload();
    await isSignedIn(page);
    const second = await open();
    await isSignedIn(second);
    for (const tab of [page, second, page]) {
      await press(tab, "Expire now");
      await press(tab, "Ask who I am");
      await tab.getByText("again GET /api/me 200").first().waitFor();
    }
  }));

test("a link to a view is followed once signed in", () =>
  withPage({}, async ({ server, open }) => {
    const page = await open(`${server.url}/#password`);
    await signIn(page);
    await page.getByRole("heading", { name: "My password" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "My password" }).getAttribute("aria-current"), "page");
    assert.equal(await page.title(), "My password · Latchkey");
  }));

test("signing out ends the session, here and everywhere", () =>
  signedIn({}, async ({ page, context, open }) => {
    await press(page, "Sign out");
    await says(page, "You are signed out.");
    assert.deepEqual(await context.cookies(), []);

    await signIn(page);
    await isSignedIn(page);
    const second = await open();
    await isSignedIn(second);
    await press(page, "Sign out everywhere");
    await says(page, "You are signed out everywhere.");
    await says(second, "Another tab has signed out. Please sign in.");
  }));

test("no token is where a script of another page could find it", () =>
  signedIn({ GRACE_SECS: 0 }, async ({ page, context }) => {
    await press(page, "Expire now");
    await press(page, "Ask who I am");
    await page.getByText("again GET /api/me 200").waitFor();
    await holdsNoToken(page);

    // It would be noticed if it were: the refresh token in the document, an access token in the storage.
    const [{ value }] = await context.cookies();
    const plant = (token) => page.evaluate((token) => document.body.append(token), token);
    await plant(value);
    await assert.rejects(holdsNoToken(page), /the refresh token/);
    await page.reload();
    await isSignedIn(page);
    await page.evaluate(() => localStorage.setItem("token", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"));
    await assert.rejects(holdsNoToken(page), /an access token/);
    await page.evaluate(() => localStorage.removeItem("token"));
  }));

test("a user disabled from the command line is thrown out with the next request", () =>
  signedIn({}, async ({ server, page }) => {
    server.run(["user", "add", "root", "--role", "admin", "--password-stdin"], PASSWORD);
    server.run(["user", "disable", "alice"]);
    await press(page, "Ask who I am");
    await isThrownOut(page);
    assert.equal(await page.getByRole("navigation").count(), 0, "nothing is left to click on");
  }));

test("a tab notices that another one has signed in as somebody else, and does nothing in their name", () =>
  signedIn({}, async ({ server, page, open }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    const second = await open();
    await isSignedIn(second);
    await press(second, "Sign out");
    await signIn(second, { name: "bob" });
    await isSignedIn(second, "bob");

    // Told at once, before anything is asked for in their name.
    await says(page, "Another tab has signed out. Please sign in.");
    await press(second, "Ask who I am");
    await second.getByText("GET /api/me 200").waitFor();
  }));

test("a server that cannot be reached signs nobody out, nor does a proxy's 401", () =>
  signedIn({ tolerates: /ERR_FAILED|status of 401/ }, async ({ page, context }) => {
    await context.route("**/api/**", (route) => route.abort());
    await press(page, "Ask who I am");
    await says(page, "The server cannot be reached. You are still signed in.");
    await context.unroute("**/api/**");
    await context.route("**/api/**", (route) => route.fulfill({ status: 401, body: "<p>Welcome to our Wi-Fi" }));
    await press(page, "Ask who I am");
    await says(page, "The server answered 401.");
    await context.unroute("**/api/**");
    await press(page, "Ask who I am");
    await page.getByText("GET /api/me 200").waitFor();
    await isSignedIn(page);
  }));

test("who fails again and again is told how long to wait", () =>
  withPage({}, async ({ page }) => {
    await fill(page, "User name", "alice");
    for (let attempt = 0; attempt < 6; attempt++) {
      await fill(page, "Password", `wrong ${attempt}`);
      await Promise.all([page.waitForResponse("**/api/auth/login"), press(page, "Sign in")]);
    }
    await says(page, /Too many log-ins have failed\. Try again in \d+ s\./);
  }));
