// For everybody: every view by keyboard, on a phone, light and dark, and as axe-core judges it. With SCREENSHOTS=folder
// each view leaves a picture there.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { addUsers, go, isSignedIn, PASSWORD, press, rows, signedIn, signIn, withPage } from "./fixture.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const DESKTOP = { width: 1024, height: 768 };
const PHONE = { width: 360, height: 720 };

/** The faults that axe-core finds in what is shown, however slight. */
async function faultsOf(page) {
  // The devtools' way in: the page's policy would stop a script element, and stays as it is.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

/** Judges what is shown, and takes its picture. */
async function judge(page, name) {
  await page.waitForLoadState("networkidle");
  assert.deepEqual(await faultsOf(page), [], name);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= page.viewportSize().width, `${name} is ${width} pixels wide`);
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
}

const inDialog = (page) => page.locator("dialog[open]").last();

/** Something for every view to show. */
async function lived(server, page) {
  await addUsers(server, 30);
  for (const name of ["bob", "a-rather-long-name-as-people-have-them@mail.example.com"]) {
    server.run(["user", "add", name, "--password-stdin"], PASSWORD);
  }
  server.run(["user", "disable", "user-01"]);
  await press(page, "Ask who I am");
  await press(page, "Expire now");
  await press(page, "Ask who I am");
  await page.getByText("again GET /api/me 200").waitFor();
}

for (const [name, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ["light", "dark"]) {
    const options = { viewport, colorScheme, reducedMotion: "reduce" };
    const picture = (view) => `${view}-${name}-${colorScheme}`;

    test(`every view is without fault and fits, ${name}, ${colorScheme}`, () =>
      withPage({ options, GRACE_SECS: 0 }, async ({ server, page, open }) => {
        await judge(page, picture("sign-in"));
        await signIn(page, { password: "wrong wrong wrong" });
        await page.locator(".message.error").waitFor();
        await judge(page, picture("refused"));
        await signIn(page);
        await isSignedIn(page);
        await lived(server, page);
        await judge(page, picture("cycle"));
        for (const [link, table] of [
          ["My sessions", "my-sessions"],
          ["My password"],
          ["All sessions", "all-sessions"],
          ["Audit", "audit"],
        ]) {
          await go(page, link);
          if (table) await rows(page, table);
          if (link === "Audit") await page.locator("#last-day svg").first().waitFor();
          await judge(page, picture(link.toLowerCase().replace(" ", "-")));
        }
        await page.getByText("As a table").click();
        await judge(page, picture("audit-table"));

        await go(page, "Users");
        await rows(page, "users");
        await judge(page, picture("users"));
        await press(page, "Add a user");
        await judge(page, picture("add"));
        await page.keyboard.press("Escape");
        await press(page, "Manage bob");
        await judge(page, picture("manage"));
        await press(page, "Delete");
        await judge(page, picture("delete"));
        await page.keyboard.press("Escape");
        await press(page, "New password by link");
        await page.getByRole("dialog", { name: "A link that works once" }).waitFor();
        await judge(page, picture("link"));

        for (const kind of ["setup", "reset"])
          await judge(await open(`${server.url}/#${kind}=AAAAAAAAAAAAAAAAAAAAAA`), picture(kind));
      }));
  }
}

test("the page is dark where the system is", () =>
  withPage({ options: { colorScheme: "dark" } }, async ({ page }) => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.emulateMedia({ colorScheme: "light" });
    const brightness = (colour) => colour.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0);
    assert.ok(brightness(await ground()) > 600 && brightness(dark) < 150, `${dark}`);
  }));

test("with the keyboard alone one signs in, goes to the users, and opens and cancels a deletion", () =>
  withPage({}, async ({ server, page }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    const { keyboard } = page;
    const focused = () =>
      page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent.trim());
    /** Presses Tab until what has this name has the focus, and sees to it that the focus shows. */
    const tabTo = async (name) => {
      for (let presses = 0; (await focused()) !== name; presses++) {
        assert.ok(presses < 40, `${name} is not reached`);
        await keyboard.press("Tab");
      }
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(outline, "none", `the focus on ${name} shows`);
    };

    assert.equal(await page.evaluate(() => document.activeElement.name), "username", "typing can begin at once");
    await keyboard.type("alice");
    await keyboard.press("Tab");
    await keyboard.type(PASSWORD);
    await keyboard.press("Enter");
    await isSignedIn(page);
    await page.locator("h1:focus").waitFor();

    await page.evaluate(() => document.activeElement.blur());
    await tabTo("Skip to content");
    await keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
    await keyboard.press("Tab");
    assert.equal(await focused(), "Ask who I am");

    await page.reload();
    await isSignedIn(page);
    await page.evaluate(() => document.activeElement.blur());
    await tabTo("Users");
    await keyboard.press("Enter");
    await page.locator("h1:focus", { hasText: "Users" }).waitFor();
    await page.getByRole("button", { name: "Manage bob" }).waitFor();
    await tabTo("Manage bob");
    await keyboard.press("Enter");
    await tabTo("Delete");
    await keyboard.press("Enter");
    await page.getByRole("alertdialog", { name: "Delete bob?" }).waitFor();
    assert.equal(await focused(), "Cancel", "the harmless way out comes first");
    await keyboard.press("Escape");
    await page.getByRole("alertdialog").waitFor({ state: "hidden" });
    assert.equal(await focused(), "Delete");
    await keyboard.press("Enter");
    await keyboard.press("Enter");
    await page.getByRole("alertdialog").waitFor({ state: "hidden" });
    await keyboard.press("Escape");
    await inDialog(page).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Manage bob" }).waitFor();
    await page.waitForFunction(() => document.activeElement.ariaLabel === "Manage bob");
  }));

test("the policy lets nothing in but the page's own files", () =>
  signedIn({ tolerates: /policy|Policy/ }, async ({ server, page }) => {
    const { "content-security-policy": policy, ...fields } = (await page.request.get(server.url)).headers();
    assert.match(
      policy,
      /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';/,
    );
    assert.ok(!/unsafe|\*|http/.test(policy), policy);
    assert.equal(fields["cross-origin-opener-policy"], "same-origin");
    const stopped = page.waitForEvent("console", (message) => message.text().startsWith("policy: style-src"));
    await page.evaluate(() => document.body.setAttribute("style", "color: red"));
    await stopped;
  }));

test("faults that are planted are found", () =>
  withPage({}, async ({ page }) => {
    await page.evaluate(() => document.querySelector("header img").removeAttribute("alt"));
    await page.evaluate(() => (document.querySelector("#view-sign-in h1").style.color = "#ccc"));
    const faults = await faultsOf(page);
    assert.deepEqual(faults.map((fault) => fault.split(":")[0]).sort(), ["color-contrast", "image-alt"]);
  }));
