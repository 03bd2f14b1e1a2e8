// What is mine: sessions that can be seen and ended, and a password that can be changed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fill, go, isSignedIn, isThrownOut, PASSWORD, press, rows, says, signedIn, signIn } from "./fixture.mjs";

const OTHER_PASSWORD = "another long pass phrase";

/** A browser of somebody else's, or of alice's elsewhere, signed in. */
async function elsewhere(person, who) {
  const { open } = await person();
  const page = await open();
  await signIn(page, who);
  await isSignedIn(page, who?.name);
  return page;
}

test("my sessions are listed, and one or all others can be ended", () =>
  signedIn({}, async ({ page, person }) => {
    const others = [await elsewhere(person), await elsewhere(person), await elsewhere(person)];
    await go(page, "My sessions");
    const listed = await rows(page, "my-sessions");
    assert.equal(listed.length, 4);
    assert.equal(listed.filter(([device]) => device === "Chrome on Linux this one").length, 1);
    assert.ok(listed.every(([, address, , last]) => address === "127.0.0.1" && last === "just now"));

    await page.getByRole("button", { name: "End Chrome on Linux" }).first().click();
    await says(page, "The session has ended.");
    assert.equal((await rows(page, "my-sessions")).length, 3);
    await press(page, "End all others");
    await says(page, "All your other sessions have ended.");
    assert.equal((await rows(page, "my-sessions")).length, 1);
    for (const other of others) {
      await press(other, "Ask who I am");
      await isThrownOut(other);
    }
  }));

test("a changed password signs in from then on, and the other sessions end", () =>
  signedIn({}, async ({ page, person }) => {
    const other = await elsewhere(person);
    await go(page, "My password");
    const change = async (current, chosen) => {
      await fill(page, "Current password", current);
      await fill(page, "New password", chosen);
      await press(page, "Change the password");
    };
    await change("wrong wrong wrong", OTHER_PASSWORD);
    await says(page, "The current password is wrong.");
    await change(PASSWORD, "too short");
    await says(page, /^The password .*15 characters/);
    await change(PASSWORD, "Password-2026-Sunshine");
    await says(page, /^The password .*common/);
    await change(PASSWORD, OTHER_PASSWORD);
    await says(page, "The password is changed; your other sessions have ended.");

    await go(page, "The cycle");
    await press(page, "Ask who I am");
    await page.getByText("GET /api/me 200").waitFor();
    await press(other, "Ask who I am");
    await isThrownOut(other);
    await signIn(other, { password: OTHER_PASSWORD });
    await isSignedIn(other);
  }));
