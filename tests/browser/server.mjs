// The real server binary for a browser test, in a throw-away folder and on a free port.

import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = process.env.LATCHKEY_PROGRAM;
if (!program) throw new Error("LATCHKEY_PROGRAM has to name the latchkey binary; tests/browser/run sets it");

export const PASSWORD = "correct horse battery staple";
const STARTS_IN_MS = 10_000;

/** Starts a server; alice, an administrator, is there unless `isEmpty`. `settings` are names without LATCHKEY_. */
export async function startServer({ isEmpty = false, ...settings } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "latchkey-browser-"));
  const env = { LATCHKEY_LISTEN: "127.0.0.1:0", LATCHKEY_ARGON2_PROFILE: "low-memory" };
  for (const [name, value] of Object.entries(settings)) env[`LATCHKEY_${name}`] = String(value);
  const run = (args, input = "") => execFileSync(program, args, { cwd: folder, env, input, encoding: "utf8" });
  if (!isEmpty) run(["user", "add", "alice", "--role", "admin", "--password-stdin"], PASSWORD);

  const child = spawn(program, ["serve"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  const lines = createInterface({ input: child.stdout });
  /** The first match of a pattern in what the server prints from now on. */
  const printed = (pattern) =>
    new Promise((resolve, reject) => {
      const tooLate = setTimeout(() => reject(new Error(`the server did not print ${pattern}`)), STARTS_IN_MS);
      lines.on("line", (line) => {
        const match = pattern.exec(line);
        if (match) resolve(match[0], clearTimeout(tooLate));
      });
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}`), clearTimeout(tooLate)));
    });
  const setup = isEmpty ? printed(/http\S+#setup=[\w-]+/) : null;
  const [, url] = (await printed(/ listening on \S+/)).split(" listening on ");
  return {
    url,
    /** The lines of its log. */
    log,
    /** The link that the server prints when there is no user. */
    setupLink: await setup,
    run,
    stop() {
      child.kill("SIGKILL");
      rmSync(folder, { recursive: true });
    },
  };
}
