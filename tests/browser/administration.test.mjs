// Administration: users are added, found, changed and deleted; everybody's sessions are seen and ended; the logs tell.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  addUsers,
  fill,
  go,
  isSignedIn,
  isThrownOut,
  PASSWORD,
  press,
  rows,
  says,
  seen,
  shownLink,
  signedIn,
  signIn,
  withPage,
} from "./fixture.mjs";

/** Somebody in a browser of their own, signed in. */
async function somebody(person, name) {
  const page = await (await person()).open();
  await signIn(page, { name });
  await isSignedIn(page, name);
  return page;
}

const user = async (page, name) => (await rows(page, "users")).find(([first]) => first === name)?.slice(0, 4);

/** Waits until the list of users says so of a user: role, state and number of sessions. */
async function becomes(page, name, ...expected) {
  const row = page.getByRole("row", { name: new RegExp(`^${name} ${expected.join(" ")} `) });
  await row.waitFor();
}

const closeDialog = (page) => page.keyboard.press("Escape");

test("who is no administrator is shown nothing of administration", () =>
  withPage({}, async ({ server, page, open }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    await signIn(page, { name: "bob" });
    await isSignedIn(page, "bob");
    const links = await page.getByRole("navigation").getByRole("link").allTextContents();
    assert.deepEqual(links, ["The cycle", "My sessions", "My password"]);
    const second = await open(`${server.url}/#users`);
    await second.getByRole("heading", { name: "The cycle at work" }).waitFor();
  }));

test("a user is added with a password, signs in, is disabled and thrown out at once, and enabled again", () =>
  signedIn({}, async ({ page, person }) => {
    await go(page, "Users");
    await press(page, "Add a user");
    await fill(page, "User name", "bob");
    await fill(page, "Password", "short");
    await press(page, "Add");
    await says(page, /^The password .*15 characters/);
    await fill(page, "Password", PASSWORD);
    await press(page, "Add");
    await says(page, "bob is added.");
    assert.deepEqual(await user(page, "bob"), ["bob", "user", "enabled", "0"]);

    await press(page, "Add a user");
    await fill(page, "User name", "BOB");
    await fill(page, "Password", PASSWORD);
    await press(page, "Add");
    await says(page, "There is a user of that name already.");
    await closeDialog(page);

    const bob = await somebody(person, "bob");
    await press(page, "Manage bob");
    await press(page, "Disable");
    await says(page, "bob is disabled; all sessions have ended.");
    await press(bob, "Ask who I am");
    await isThrownOut(bob);
    await signIn(bob, { name: "bob" });
    await says(bob, "The user name or the password is wrong.");

    await press(page, "Enable");
    await says(page, "bob is enabled.");
    await closeDialog(page);
    await becomes(page, "bob", "user", "enabled", 0);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Manage", "the focus is back");
    await signIn(bob, { name: "bob" });
    await isSignedIn(bob, "bob");
  }));

test("a user who is added without a password chooses it by a link", () =>
  signedIn({}, async ({ page, person }) => {
    await go(page, "Users");
    await press(page, "Add a user");
    await fill(page, "User name", "carol");
    await page.getByLabel("Role").selectOption("administrator");
    await press(page, "Add");
    const link = await shownLink(page);
    await closeDialog(page);
    await becomes(page, "carol", "administrator", "enabled", 0);

    const carol = await (await person()).open(link);
    await fill(carol, "User name", "carol");
    await fill(carol, "New password", PASSWORD);
    await press(carol, "Set the password");
    await says(carol, "The password is set. It signs you in from now on.");
    await fill(carol, "Password", PASSWORD);
    await press(carol, "Sign in");
    await isSignedIn(carol, "carol");
    await go(carol, "Users");
    await becomes(carol, "alice", "administrator", "enabled", 1);
  }));

test("a role is given and taken, sessions are ended, a user is deleted, and the last administrator stays", () =>
  signedIn({}, async ({ server, page, person }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    const bob = await somebody(person, "bob");
    await go(page, "Users");
    await press(page, "Manage bob");
    await press(page, "Make an administrator");
    await says(page, "bob is an administrator.");
    await press(bob, "Ask who I am");
    await isThrownOut(bob);
    await signIn(bob, { name: "bob" });
    await go(bob, "Audit");
    await press(page, "Make a user");
    await says(page, "bob is a user.");
    await bob.getByRole("link", { name: "Users" }).click();
    await isThrownOut(bob);

    await signIn(bob, { name: "bob" });
    await isSignedIn(bob, "bob");
    await press(page, "End all sessions");
    await says(page, "All sessions have ended.");
    await go(bob, "My sessions").catch(() => {});
    await isThrownOut(bob);

    await press(page, "Delete");
    await press(page, "Delete bob");
    await says(page, "bob is deleted.");
    assert.equal(await user(page, "bob"), undefined);
    await signIn(bob, { name: "bob" });
    await says(bob, "The user name or the password is wrong.");

    await press(page, "Manage alice");
    await press(page, "Disable");
    await says(page, "The last administrator has to stay one.");
    await press(page, "Delete");
    await press(page, "Delete alice");
    await says(page, "The last administrator has to stay one.");
  }));

test("an administrator is thrown out of a dialog too, and leaves nothing of what was seen", () =>
  signedIn({}, async ({ server, page }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    await go(page, "Audit");
    await rows(page, "audit");
    await go(page, "Users");
    await page.getByLabel("Search by name").fill("bo");
    await press(page, "Manage bob");
    // The search itself would be refused as well, and throw the administrator out before the click.
    await page.waitForLoadState("networkidle");
    server.run(["session", "revoke-all", "--user", "alice"]);
    await press(page, "Disable");
    await isThrownOut(page);
    assert.equal(await page.getByRole("dialog").count(), 0);
    assert.ok(!(await seen(page)).includes("bob"));
    assert.equal(await page.locator("#user-search").inputValue(), "");
  }));

test("a search that was still waiting does not take away why the user was thrown out", () =>
  signedIn({}, async ({ server, page }) => {
    await page.clock.install();
    await go(page, "Users");
    await page.getByRole("button", { name: "Manage alice" }).waitFor();
    server.run(["session", "revoke-all", "--user", "alice"]);
    await page.getByLabel("Search by name").fill("al");
    await press(page, "Manage alice");
    await press(page, "Disable");
    await isThrownOut(page);
    await page.clock.fastForward("00:01");
    await page.waitForLoadState("networkidle");
    await isThrownOut(page);
  }));

test("users are found by a part of their name, and turned by the page", () =>
  signedIn({}, async ({ server, page }) => {
    await addUsers(server, 64);
    await go(page, "Users");
    await page.getByText("Page 1").waitFor();
    const names = async () => (await rows(page, "users")).map(([name]) => name);
    const all = await names();
    assert.equal(all.length, 25);
    for (const [name, pageOf, count] of [
      ["Next", 2, 25],
      ["Next", 3, 15],
      ["Previous", 2, 25],
      ["Next", 3, 15],
    ]) {
      await press(page, name);
      await page.getByText(`Page ${pageOf}`).waitFor();
      assert.equal((await names()).length, count);
      if (name === "Next") all.push(...(await names()));
    }
    assert.equal(new Set(all).size, 65);
    assert.equal(await page.getByRole("button", { name: "Next" }).getAttribute("aria-disabled"), "true");

    await page.getByLabel("Search by name").fill("USER-6");
    await page.locator("#users tbody tr").nth(5).waitFor({ state: "detached" });
    assert.deepEqual(await names(), ["user-60", "user-61", "user-62", "user-63"]);
    assert.equal(await page.getByText("Page 1").isVisible(), false);
    await page.getByLabel("Search by name").fill("nobody");
    await page.getByText("Nobody of that name.").waitFor();
  }));

test("sessions of anyone are seen, found by user, and ended one by one or all", () =>
  signedIn({}, async ({ server, page, person }) => {
    for (const name of ["bob", "bobby"]) server.run(["user", "add", name, "--password-stdin"], PASSWORD);
    const bobs = [await somebody(person, "bob"), await somebody(person, "bob"), await somebody(person, "bob")];
    const bobby = await somebody(person, "bobby");
    await go(page, "All sessions");
    const whose = async () => (await rows(page, "all-sessions")).map(([name]) => name);
    const show = (count) => page.locator("#all-sessions tbody tr").nth(count).waitFor({ state: "detached" });
    assert.deepEqual((await whose()).sort(), ["alice", "bob", "bob", "bob", "bobby"]);

    const search = page.getByLabel("Of the user");
    await search.fill("bo");
    await press(page, "bob");
    await show(3);
    assert.deepEqual(await whose(), ["bob", "bob", "bob"]);
    await page.getByRole("button", { name: "End Chrome on Linux of bob" }).first().click();
    await says(page, "The session of bob has ended.");
    assert.equal((await whose()).length, 2);
    await press(page, "End all of bob");
    await press(page, "End all");
    await page.getByText("No sessions.").waitFor();
    for (const bob of bobs) {
      await press(bob, "Ask who I am");
      await isThrownOut(bob);
    }
    await press(bobby, "Ask who I am");
    await bobby.getByText("GET /api/me 200").waitFor();

    await go(page, "Users");
    await press(page, "Manage bobby");
    await press(page, "Show sessions");
    await show(1);
    assert.deepEqual(await whose(), ["bobby"]);
    await search.fill("");
    await page.getByRole("row", { name: /^alice/ }).waitFor();
  }));

test("the audit logs say in words what happened, by the page, and the last day is a picture with a table", () =>
  signedIn({}, async ({ server, page, person }) => {
    await addUsers(server, 30);
    const stranger = await (await person()).open();
    await signIn(stranger, { name: "user-07", password: "wrong wrong wrong" });
    await says(stranger, "The user name or the password is wrong.");
    await go(page, "Users");
    await press(page, "Manage user-07");
    await press(page, "Disable");
    await says(page, "user-07 is disabled; all sessions have ended.");
    await closeDialog(page);

    await go(page, "Audit");
    const [newest] = await rows(page, "audit");
    assert.deepEqual(newest.slice(1), ["user-07", "user disabled, by alice", "127.0.0.1"]);
    await press(page, "Next");
    await page.getByText("Page 2").waitFor();
    assert.ok((await rows(page, "audit")).some(([, who, what]) => who === "alice" && what === "user added"));
    await page.getByLabel("Log").selectOption("Refused log-ins");
    await page.getByRole("row", { name: /user-07 log-in refused 127\.0\.0\.1$/ }).waitFor();

    await page.getByText(/The last day.*31 users.*log-ins: 2,.*refusals: 1, reuse: 0/).waitFor();
    assert.equal(await page.locator("#last-day svg").count(), 4);
    await page.getByText("As a table").click();
    const hours = await page.locator("#last-day tbody tr").allTextContents();
    assert.equal(hours.length, 24);
  }));
