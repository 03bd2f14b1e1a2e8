// The session module in somebody else's application: imported from the server by a page of another origin, as the
// README beside the module shows it, and in two tabs at once.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { holdsNoToken, PASSWORD, withPage } from "./fixture.mjs";

const README = readFileSync(new URL("../../server/src/web/README.md", import.meta.url), "utf8");
const DROP_IN = README.match(/```js\n(import[^`]*baseQueryWith[^`]*)```/)[1];
const HERE = fileURLToPath(new URL(".", import.meta.url));

/** RTK Query as a browser loads it. */
async function toolkit() {
  const contents = 'export { fetchBaseQuery } from "@reduxjs/toolkit/query";';
  const stdin = { contents, resolveDir: HERE };
  const define = { "process.env.NODE_ENV": '"production"' };
  const { outputFiles } = await build({ stdin, bundle: true, format: "esm", write: false, define });
  return outputFiles[0].text;
}

/** An application: a page, the README's drop-in for RTK Query, and an API that asks the server who calls. */
async function startApplication() {
  const application = { url: "", module: "", latchkey: "", toolkit: await toolkit(), unauthorised: 0 };
  const http = createServer(async (request, answer) => {
    const say = (status, type, text) => answer.writeHead(status, { "Content-Type": type }).end(text);
    const { pathname, searchParams } = new URL(request.url, "http://application");
    if (pathname === "/")
      return say(200, "text/html", "<!doctype html><title>app</title><link rel=icon href=data:,>");
    if (pathname === "/api.js") return say(200, "text/javascript", application.module);
    if (pathname === "/toolkit.js") return say(200, "text/javascript", application.toolkit);
    if (pathname === "/html") return say(200, "text/html", "<p>no JSON");
    const parts = [];
    for await (const part of request) parts.push(part);
    const { authorization = "" } = request.headers;
    const { status } = await fetch(`${application.latchkey}/api/me`, { headers: { authorization } });
    application.unauthorised += status !== 200;
    const heard = {
      method: request.method,
      search: searchParams.toString(),
      header: request.headers["x-application"] ?? null,
      type: (request.headers["content-type"] ?? "").split(";")[0],
      body: Buffer.concat(parts).toString(),
    };
    say(status, "application/json", JSON.stringify(status === 200 ? heard : "who are you?"));
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  application.url = `http://127.0.0.1:${http.address().port}`;
  application.stop = () => http.close();
  return application;
}

/** Runs `body` with an application whose pages the server lists, and a page of it with the module in `window.session`. */
async function inApplication(settings, body) {
  const application = await startApplication();
  try {
    await withPage({ ALLOWED_ORIGINS: application.url, ...settings }, async (scene) => {
      application.latchkey = scene.server.url;
      application.module = DROP_IN.replaceAll("https://auth.example.com", scene.server.url);
      const open = async () => {
        const page = await scene.open(application.url);
        await page.evaluate(async () => {
          const { session, baseQueryWith } = await import("/api.js");
          const { fetchBaseQuery } = await import("/toolkit.js");
          Object.assign(window, { session, ask: baseQueryWith(fetchBaseQuery, { baseUrl: location.origin }) });
          window.api = { signal: new AbortController().signal, dispatch() {}, getState: () => ({}), endpoint: "items" };
        });
        return page;
      };
      await body({ ...scene, application, open, page: await open() });
    });
  } finally {
    application.stop();
  }
}

const signIn = (page, name = "alice") =>
  page.evaluate(([name, password]) => session.signIn(name, password), [name, PASSWORD]);

test("an application of another origin imports the module, signs in, and keeps fetchBaseQuery's promises", () =>
  inApplication({}, async ({ page }) => {
    assert.equal((await signIn(page)).name, "alice");
    const outcome = await page.evaluate(async () => {
      const outcome = {};
      session.expireNow();
      const query = { url: "/items", params: { page: 2 }, headers: { "X-Application": "yes" } };
      outcome.query = (await ask(query, api, {})).data;
      outcome.token = session.remainingMs > 0;
      outcome.json = (await ask({ url: "/items", method: "POST", body: { a: [1] } }, api, {})).data;
      const form = new FormData();
      form.append("file", new Blob(["some bytes"]), "name.txt");
      outcome.form = (await ask({ url: "/items", method: "POST", body: form }, api, {})).data;
      outcome.html = (await ask("/html", api, {})).error.status;
      await session.signOut();
      outcome.late = (await ask({ url: "/items", method: "POST", body: {} }, api, {})).error.status;
      return outcome;
    });
    const { query, json, form } = outcome;
    assert.deepEqual([query.method, query.search, query.header], ["GET", "page=2", "yes"]);
    assert.ok(outcome.token, "it was refreshed");
    assert.deepEqual([json.type, json.body], ["application/json", '{"a":[1]}']);
    assert.equal(form.type, "multipart/form-data");
    assert.match(form.body, /filename="name.txt"[^]*some bytes/);
    assert.equal(outcome.html, "PARSING_ERROR");
    assert.equal(outcome.late, "SIGNED_OUT");
    await holdsNoToken(page);
  }));

test("ten queries at once over an expiry earn no 401, in each of two tabs", () =>
  inApplication({ ACCESS_TTL_SECS: 1, GRACE_SECS: 5 }, async ({ application, page, open }) => {
    await signIn(page);
    const second = await open();
    await second.evaluate(() => session.resume());
    const tenQueries = async () => {
      const outcomes = [];
      for (let round = 0; round < 3; round++) {
        while (session.remainingMs > 0) await new Promise((done) => setTimeout(done, 20));
        outcomes.push(...(await Promise.all(Array.from({ length: 10 }, () => ask("/items", api, {})))));
      }
      return outcomes.map(({ error }) => error ?? "good");
    };
    const outcomes = (await Promise.all([page, second].map((tab) => tab.evaluate(tenQueries)))).flat();
    assert.deepEqual([...new Set(outcomes)], ["good"]);
    assert.equal(application.unauthorised, 0);
  }));

test("every change of the user is told, also what another tab does, and nothing is sent as somebody else", () =>
  inApplication({}, async ({ server, page, open }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    const listen = () => {
      window.told = [];
      session.onUser((user, before, isElsewhere) => told.push([user?.name, before?.name, isElsewhere]));
    };
    await page.evaluate(listen);
    await signIn(page);
    const second = await open();
    await second.evaluate(listen);
    await second.evaluate(() => session.resume());
    await signIn(second, "bob");
    await page.waitForFunction(() => session.user?.name === "bob");
    await second.evaluate(() => session.signOut());
    await page.waitForFunction(() => session.user === null);
    const nobody = undefined;
    const expected = [
      ["alice", nobody, false],
      ["bob", "alice", true],
      [nobody, "bob", true],
    ];
    const asJson = (told) => JSON.parse(JSON.stringify(told.map((names) => names.map((name) => name ?? null))));
    assert.deepEqual(asJson(await page.evaluate(() => told)), asJson(expected));
  }));

test("what was begun as one user is not sent as another whom nobody was told of", () =>
  inApplication({}, async ({ server, page, open }) => {
    server.run(["user", "add", "bob", "--password-stdin"], PASSWORD);
    await signIn(page);
    const second = await open();
    await signIn(second, "bob");
    // No listener: the page still shows alice.
    const outcome = await page.evaluate(async () => (await ask({ url: "/items", method: "POST", body: {} }, api, {})).error);
    assert.equal(outcome.status, "SIGNED_OUT");
  }));

test("signing out without a connection ends the session here, and the server is told later", () =>
  inApplication({ tolerates: /ERR_INTERNET_DISCONNECTED|status of 401/ }, async ({ server, page, context, open }) => {
    await signIn(page);
    await context.setOffline(true);
    assert.equal(await page.evaluate(() => session.signOut()), false);
    assert.equal(await page.evaluate(() => session.user), null);
    const living = () => JSON.parse(server.run(["session", "list", "--json"])).length;
    assert.equal(living(), 1);
    const told = page.waitForResponse((answer) => answer.url().endsWith("/api/auth/logout"));
    await context.setOffline(false);
    await told;
    assert.equal(living(), 0);
    // A page that is opened before that tells it as well, and does not go on in the session.
    await signIn(page);
    await context.setOffline(true);
    await page.evaluate(() => session.signOut());
    await page.close();
    await context.setOffline(false);
    const next = await open();
    const outcome = await next.evaluate(() => session.resume().catch((error) => error.name));
    assert.equal(outcome, "SignedOut");
    assert.equal(living(), 0);
  }));

test("errors have names, the key needs no secure context, and the module needs no window", async () => {
  const { Refused, Session, SignedOut, Unreachable } = await import("../../server/src/web/session.js");
  const answer = new Response(null, { status: 503, headers: { "Retry-After": "2" } });
  const errors = [new Refused(answer, null), new SignedOut("over"), new Unreachable("away")];
  assert.deepEqual(
    errors.map((error) => error.name),
    ["Refused", "SignedOut", "Unreachable"],
  );
  assert.throws(() => new Session(), /base/);
  const session = new Session({ base: "http://127.0.0.1:9" });
  assert.equal(session.mayResume, false);
  await assert.rejects(session.signIn("alice", PASSWORD), { name: "Unreachable" });
  const { randomUUID } = crypto;
  crypto.randomUUID = undefined;
  await assert.rejects(session.resume(), { name: "Unreachable" });
  crypto.randomUUID = randomUUID;
});

test("the types are right under --strict, and wrong uses are errors", () => {
  const tsc = fileURLToPath(new URL("node_modules/.bin/tsc", import.meta.url));
  const flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
  execFileSync(tsc, [...flags, "--lib", "es2022,dom", "types.ts"], { cwd: HERE, stdio: "pipe" });
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
