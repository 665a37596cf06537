// A client that sends a whole body must get the response to a request that was refused before its
// body was read, and not a broken connection.

import { execFile } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { all, outcomes } from "../src/at-once.js";
import { OneProcess, temporaryFolder } from "../src/deployment.js";
import {
  AS_EXPECTED,
  judged,
  nth,
  type Refused,
  refused,
  sendAll,
  SMALL_MESSAGES,
} from "../src/refused.js";

describe("a request that is refused before its body was read is answered", () => {
  let suite: OneProcess;
  before(async () => {
    suite = await OneProcess.start(...SMALL_MESSAGES);
  });
  after(() => suite?.stop());
  const log = () => suite.log();

  it("to Node's agent that keeps connections, 500 requests of 20 kB", async () => {
    const found = await sendAll(suite.url, refused(20_000), 500, 10);
    all(AS_EXPECTED, 500, found, log);
  });

  for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
    it(`to curl ${version}, 30 requests of 300 kB`, async () => {
      const folder = await temporaryFolder();
      try {
        const requests = refused(300_000);
        const found = await outcomes(30, 1, (number) =>
          curl(version, suite.url, nth(requests, number), folder),
        );
        all(AS_EXPECTED, 30, found, log);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});

/** Sends a request with the system's curl. */
async function curl(version: string, url: string, one: Refused, folder: string): Promise<string> {
  const body = join(folder, "body");
  await writeFile(body, one.body);
  const { stdout } = await promisify(execFile)("curl", [
    // Ignores the developer's .curlrc; must be the first option.
    "--disable",
    ...["--silent", "--noproxy", "*", "--max-time", "20", version],
    ...["--header", `content-type: ${one.contentType}`, "--data-binary", `@${body}`],
    ...["--output", join(folder, "answer"), "--write-out", "%{http_code}", url + one.path],
  ]).catch((error) => {
    throw new Error(error.code === "ENOENT" ? "curl is not installed" : `curl ended with ${error.code}`);
  });
  return judged(one.answer.split("/")[0] ?? "", stdout);
}
