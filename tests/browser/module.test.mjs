// The session module in somebody else's application: imported from the server by a page of another origin, as the
// README beside the module shows it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";

import { holdsNoToken, PASSWORD, withPage } from "./fixture.mjs";

const README = readFileSync(new URL("../../server/src/web/README.md", import.meta.url), "utf8");
const DROP_IN = README.match(/```js\n(import[^`]*baseQuery[^`]*)```/)[1];

/** An application: a page, the README's drop-in for RTK Query, and an API that asks the server who calls. */
async function startApplication() {
  const application = { url: "", module: "", latchkey: "" };
  const http = createServer(async (request, answer) => {
    const say = (status, type, text) => answer.writeHead(status, { "Content-Type": type }).end(text);
    if (request.url === "/")
      return say(200, "text/html", "<!doctype html><title>app</title><link rel=icon href=data:,>");
    if (request.url === "/api.js") return say(200, "text/javascript", application.module);
    const { authorization = "" } = request.headers;
    const { status } = await fetch(`${application.latchkey}/api/me`, { headers: { authorization } });
    say(status, "application/json", JSON.stringify(status === 200 ? { items: [1, 2, 3] } : "who are you?"));
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  application.url = `http://127.0.0.1:${http.address().port}`;
  application.stop = () => http.close();
  return application;
}

test("an application of another origin imports the module, signs in, and is refreshed by RTK Query's drop-in", async () => {
  const application = await startApplication();
  try {
    await withPage({ ALLOWED_ORIGINS: application.url }, async ({ server, open }) => {
      application.latchkey = server.url;
      application.module = DROP_IN.replaceAll("https://auth.example.com", server.url);
      const page = await open(application.url);
      const outcome = await page.evaluate(async (password) => {
        const { session, baseQuery } = await import("/api.js");
        const outcome = { user: await session.signIn("alice", password) };
        session.expireNow();
        outcome.query = await baseQuery("/items", {});
        outcome.token = session.remainingMs > 0;
        await session.signOut();
        outcome.late = await baseQuery({ url: "/items", method: "POST", body: {} }, {});
        return outcome;
      }, PASSWORD);
      assert.equal(outcome.user.name, "alice");
      assert.deepEqual(outcome.query, { data: { items: [1, 2, 3] } });
      assert.ok(outcome.token, "it was refreshed");
      assert.equal(outcome.late.error.status, "SIGNED_OUT");
      await holdsNoToken(page);
    });
  } finally {
    application.stop();
  }
});

test("an application that is not listed gets neither the module nor a session", async () => {
  const application = await startApplication();
  try {
    await withPage({ tolerates: /CORS|ERR_FAILED|status of 403/ }, async ({ server, open }) => {
      const page = await open(application.url);
      const refused = await page.evaluate(
        (url) =>
          import(`${url}/session.js`).then(
            () => "imported",
            () => "refused",
          ),
        server.url,
      );
      assert.equal(refused, "refused");
      const login = page.evaluate(
        (url) =>
          fetch(`${url}/api/auth/login`, { method: "POST", credentials: "include", body: "{}" }).then(
            () => "answered",
            () => "refused",
          ),
        server.url,
      );
      assert.equal(await login, "refused");
    });
  } finally {
    application.stop();
  }
});
