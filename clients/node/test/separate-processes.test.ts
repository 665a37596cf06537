// The suite as separate processes on PostgreSQL, with two replicas of records.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { describeBehaviour } from "../src/behaviour.js";
import { SeparateProcesses } from "../src/deployment.js";
import { CLIENTS } from "../src/transports.js";

const server = process.env["CLINIC_TEST_POSTGRES_URL"];
// These tests are skipped only on request, never because PostgreSQL is missing.
const skip = process.env["CLINIC_TEST_SQLITE_ONLY"] === "1" ? "--sqlite-only" : false;

describe("separate processes over PostgreSQL", { skip }, () => {
  let suite: SeparateProcesses;
  let stopped = false;
  before(async () => {
    assert.ok(server, "CLINIC_TEST_POSTGRES_URL is not set: run with `cargo xtask test`");
    suite = await SeparateProcesses.start(server);
  });
  after(async () => {
    if (!stopped) {
      await suite?.stop();
    }
  });
  for (const client of CLIENTS) {
    describeBehaviour(client, () => suite);
  }

  // The last test, because the counts are known when the processes have stopped.
  it("both processes of records got their share of the calls", async () => {
    stopped = true;
    await suite.stop();
    const calls = suite.recordsCalls();
    const all = calls.reduce((sum, one) => sum + one, 0);
    for (const one of calls) {
      assert.ok(one >= all / 10, `the calls were served as ${calls.join(" and ")}`);
    }
  });
});
