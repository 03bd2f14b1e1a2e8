// The real server binary for a browser test, in a throw-away folder and on a free port.

import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const program = process.env.LATCHKEY_PROGRAM;
if (!program) throw new Error("LATCHKEY_PROGRAM has to name the latchkey binary; tests/browser/run sets it");

export const PASSWORD = "correct horse battery staple";

/** Starts a server with one user, alice; `settings` are names without LATCHKEY_. */
export async function startServer(settings = {}) {
  const folder = mkdtempSync(join(tmpdir(), "latchkey-browser-"));
  const env = { LATCHKEY_LISTEN: "127.0.0.1:0" };
  for (const [name, value] of Object.entries(settings)) env[`LATCHKEY_${name}`] = String(value);
  const child = spawn(program, ["serve"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  const firstLine = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
  });
  const run = (args, input = "") => execFileSync(program, args, { cwd: folder, env, input, encoding: "utf8" });
  run(["user", "add", "alice", "--role", "admin", "--password-stdin"], PASSWORD);
  return {
    url: firstLine.split(" listening on ")[1],
    run,
    stop() {
      child.kill("SIGKILL");
      rmSync(folder, { recursive: true });
    },
  };
}
