// The chat of the README works.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Server, until } from "./server.mjs";

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

test("two people chat with 40 lines of JavaScript", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const [[, code], [, page]] = readme.matchAll(/```jsx?\n([\s\S]*?)```/g);
  for (const one of [code, page]) assert.ok(one.split("\n").length - 1 <= 40);
  const folder = await mkdtemp(join(tmpdir(), "verbatim-sdk-chat-"));
  const file = join(folder, "chat.mjs");
  await writeFile(file, code.replace("@verbatim/client", new URL("../dist/index.js", import.meta.url)));
  const options = process.execArgv.filter((option) => !option.startsWith("--test"));
  const run = (...names) => {
    const program = spawn(process.execPath, [...options, file, ...names], {
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, VERBATIM_URL: server.url },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const told = { lines: "", ended: new Promise((resolve) => program.once("exit", resolve)) };
    program.stdout.on("data", (data) => (told.lines += data));
    return Object.assign(told, { say: (text) => program.stdin.write(`${text}\n`), end: () => program.stdin.end() });
  };
  const ana = run("ana", "ben");
  const ben = run("ben", "ana");
  ana.say("Pizza?");
  await until("Ben reads it", () => ben.lines.includes("ana: Pizza?\n"));
  ben.say("At one.");
  await until("Ana reads it", () => ana.lines === "ana: Pizza?\nben: At one.\n");
  ana.end();
  ben.end();
  assert.deepEqual([await ana.ended, await ben.ended], [0, 0]);
  await rm(folder, { recursive: true });
});
