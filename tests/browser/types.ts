// How an application in TypeScript uses the session module; compiled by module.test.mjs, never run.

import { Refused, Session, SignedOut, Unreachable, type User } from "../../server/src/web/session.js";

interface Item {
  id: number;
}

export async function use(file: Blob): Promise<Item[]> {
  const session = new Session({ base: "https://auth.example.com", watch: (event) => console.log(event.kind) });
  const stop = session.onUser((user: User | null, before, isElsewhere) => console.log(user?.name, before, isElsewhere));
  const user: User = await session.signIn("alice", "correct horse battery staple");
  const isAdmin: boolean = user.role === "admin";
  const form = new FormData();
  form.append("file", file);
  await session.fetch("/upload", { method: "POST", body: form, headers: { "X-Kind": "picture" } });
  await session.fetch(new Request("https://api.example.com/items"));
  try {
    return await session.json<Item[]>("/items", { method: "POST", body: { isAdmin } });
  } catch (error) {
    if (error instanceof Refused && error.problem?.action === "wait") console.log(error.retryAfterSecs);
    if (error instanceof SignedOut || error instanceof Unreachable) console.log(error.name);
    throw error;
  } finally {
    stop();
    const isTold: boolean = await session.signOut();
    console.log(isTold);
  }
}

// @ts-expect-error the user cannot be set from outside
new Session().user = null;
// @ts-expect-error a role that there is none of
export const isRoot = (user: User): boolean => user.role === "root";
