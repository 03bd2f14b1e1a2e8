// One-time codes: the first administrator sets the server up, and who has lost a password chooses another.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  fill,
  go,
  isSignedIn,
  PASSWORD,
  press,
  says,
  seen,
  shownLink,
  signedIn,
  signIn,
  withPage,
} from "./fixture.mjs";

const OTHER_PASSWORD = "another long pass phrase";

test("the link a new server prints makes the first administrator, and works once", () =>
  withPage({ isEmpty: true }, async ({ server, page, open }) => {
    const [, code] = server.setupLink.split("#setup=");
    await page.getByRole("heading", { name: "Set up Latchkey" }).waitFor();
    assert.equal(page.url(), `${server.url}/`, "the code is gone from the address at once");

    await fill(page, "User name", "Zoë");
    await fill(page, "Password", "short");
    await press(page, "Create and sign in");
    await says(page, /^The password .*15 characters/);
    await fill(page, "Password", PASSWORD);
    await press(page, "Create and sign in");
    await isSignedIn(page, "Zoë");
    await page.getByRole("link", { name: "Users" }).waitFor();
    assert.ok(!(await seen(page)).includes(code), "nor is it anywhere else");
    await page.reload();
    await isSignedIn(page, "Zoë");

    const second = await open(server.setupLink);
    await fill(second, "User name", "mallory");
    await fill(second, "Password", PASSWORD);
    await press(second, "Create and sign in");
    await says(second, /^The code is wrong, was used already, or has expired\./);
  }));

test("a link from an administrator lets a user choose a password once, and ends their sessions", () =>
  signedIn({}, async ({ server, page, person }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    const { open } = await person();
    const bob = await open();
    await signIn(bob, { name: "bob" });
    await isSignedIn(bob, "bob");

    await go(page, "Users");
    await press(page, "Manage bob");
    await press(page, "New password by link");
    const link = await shownLink(page);
    assert.match(link, new RegExp(`^${server.url}/#reset=[\\w-]+$`));
    assert.ok(!(await seen(page)).includes(link), "not in the markup");
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await press(page, "Copy");
    await says(page, "Copied.");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), link);
    await page.getByRole("dialog", { name: "A link that works once" }).getByRole("button", { name: "Close" }).click();
    await page.waitForFunction(() => document.getElementById("link").value === "");

    // A link that is followed in a page that is there already.
    await bob.evaluate((link) => (location.href = link), link);
    const choose = async (name, password) => {
      await fill(bob, "User name", name);
      await fill(bob, "New password", password);
      await press(bob, "Set the password");
    };
    await bob.getByRole("heading", { name: "Choose a password" }).waitFor();
    assert.equal(bob.url(), `${server.url}/`);
    await choose("alice", OTHER_PASSWORD);
    await says(bob, /^The code is wrong/);
    await choose("bob", OTHER_PASSWORD);
    await says(bob, "The password is set. It signs you in from now on.");
    await press(bob, "Ask who I am");
    await says(bob, /Please sign in\.$/);
    await signIn(bob, { name: "bob", password: OTHER_PASSWORD });
    await isSignedIn(bob, "bob");

    const late = await (await person()).open(link);
    await late.getByLabel("User name").filter({ visible: true }).fill("bob");
    await fill(late, "New password", PASSWORD);
    await press(late, "Set the password");
    await says(late, /^The code is wrong/);
  }));
