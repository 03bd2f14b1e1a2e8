// A new user's first minutes, from a fresh clone after the build: the command of the README, then only what the program
// itself prints or shows. `node new-user.mjs CLONE`

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const clone = process.argv[2];
const began = performance.now();

/** One step: what was read, and what that led to. */
function step(read, done) {
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${read}\n         -> ${done}`);
}

const readme = readFileSync(join(clone, "README.md"), "utf8");
const command = readme.match(/^## Run\n+```sh\n(.+)\n```/m)[1];
step("README, Run", command);
// Any free port instead of the usual one: others may use this machine.
const env = { ...process.env, LATCHKEY_LISTEN: "127.0.0.1:0" };
const server = spawn("bash", ["-c", `exec ${command}`], { cwd: clone, env, stdio: ["ignore", "pipe", "inherit"] });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
});

try {
  const link = await new Promise((resolve, reject) => {
    const said = [];
    createInterface({ input: server.stdout }).on("line", (line) => {
      said.push(line.trim());
      // The first thing that is printed as a line of its own and can be opened, after words that say so.
      if (/^http\S+$/.test(line.trim()) && said.some((earlier) => /open this/i.test(earlier))) resolve(line.trim());
    });
    server.once("exit", (code) => reject(new Error(`${command} ended with ${code}:\n${said.join("\n")}`)));
  });
  step("the program: Open this", link.replace(/=.*/, "=..."));

  const page = await (await browser.newContext()).newPage();
  await page.goto(link);
  await page.getByRole("heading", { name: "Set up Latchkey" }).waitFor();
  step("the page: Choose the name and the password of the first administrator", "root, and Create and sign in");
  await page.getByLabel("User name").filter({ visible: true }).fill("root");
  await page.getByLabel("Password", { exact: true }).filter({ visible: true }).fill("a sentence that only I would say");
  await page.getByRole("button", { name: "Create and sign in" }).click();
  await page.getByText("Signed in as root").waitFor();

  step("the page: Users, Add a user, Leave it empty for a link", "alice, without a password");
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await page.getByRole("button", { name: "Add a user" }).click();
  const dialog = page.getByRole("dialog", { name: "Add a user" });
  await dialog.getByLabel("User name").fill("alice");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  const shown = page.getByRole("dialog", { name: "A link that works once" }).getByLabel("Link", { exact: true });
  const resetLink = await shown.inputValue();
  step("the page: A link that works once", "alice opens it elsewhere");

  const alices = await (await browser.newContext()).newPage();
  await alices.goto(resetLink);
  await alices.getByLabel("User name").filter({ visible: true }).fill("alice");
  await alices.getByLabel("New password").filter({ visible: true }).fill("words that nobody else would choose");
  await alices.getByRole("button", { name: "Set the password" }).click();
  await alices.getByRole("heading", { name: "Sign in" }).waitFor();
  step("the page: Choose a password, then Sign in", "alice signs in");
  await alices.getByLabel("User name").filter({ visible: true }).fill("alice");
  await alices.getByLabel("Password", { exact: true }).filter({ visible: true }).fill("words that nobody else would choose");
  await alices.getByRole("button", { name: "Sign in", exact: true }).click();
  await alices.getByText("Signed in as alice").waitFor();

  step("the page: When it has run out, the answer is 401: Expire now, Ask who I am", "both, in turn");
  await alices.getByRole("button", { name: "Expire now" }).click();
  await alices.getByRole("button", { name: "Ask who I am" }).click();
  // The browser waits until the last of the four is there.
  const cycle = /401[^]*refresh[^]*200[^]*again[^]*200/;
  const line = alices.locator("#timeline > li").filter({ hasText: cycle });
  const seen = (await line.innerText()).replace(/\s+/g, " ");
  step(`the page: ${seen}`, "a refresh was seen");
} finally {
  await browser.close();
  server.kill("SIGTERM");
}
