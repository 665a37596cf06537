// Many calls, and many small messages, on one HTTP/2 connection. Like proxies, Node's http2 sends the
// body of each request in a frame that does not end the stream.

import { after, before, describe, it } from "node:test";

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { EchoService } from "../gen/acme/echo/v1/echo_pb.js";
import { all, outcomes } from "../src/at-once.js";
import { OneProcess } from "../src/deployment.js";
import { Echo } from "../src/echo.js";
import { Member, somePatient } from "../src/session.js";

const ROUNDS = 10;

describe("one HTTP/2 connection of connect-node", () => {
  let echo: Echo;
  let suite: OneProcess;
  let sessionManager: Http2SessionManager;
  before(async () => {
    echo = await Echo.start();
    suite = await OneProcess.start(...echo.settings());
    sessionManager = new Http2SessionManager(suite.url);
  });
  after(async () => {
    sessionManager?.abort();
    await suite?.stop();
    await echo?.stop();
  });
  const transport = () => createGrpcTransport({ baseUrl: suite.url, sessionManager });

  // 256 is the gateway's limit of concurrent calls on one connection.
  for (const calls of [140, 256]) {
    it(`answers ${calls} calls at once, ${ROUNDS} times in a row`, async () => {
      const staff = await Member.register(transport());
      const { id } = await staff.patients.createPatient({ patient: somePatient() });
      for (let round = 1; round <= ROUNDS; round += 1) {
        const found = await outcomes(calls, calls, async () => {
          // An empty request, because small frames use up more of h2's frame budget.
          const { patients } = await staff.patients.listPatients({});
          return patients[0]?.id === id ? "answered" : "not the patient";
        });
        all("answered", calls, found, () => `in round ${round}\n${suite.log()}`);
      }
    });
  }

  for (const [streams, messages] of [
    [30, 300],
    [1, 10_000],
  ] as const) {
    it(`carries ${streams} x ${messages} messages of one letter to a routed service`, async () => {
      const client = createClient(EchoService, transport());
      const found = await outcomes(streams, streams, async () => {
        const { texts } = await client.collect(letters(messages), { timeoutMs: 60_000 });
        return texts.join("") === "x".repeat(messages) ? "carried" : "other messages";
      });
      all("carried", streams, found, () => suite.log());
    });
  }
});

async function* letters(messages: number) {
  for (let sent = 0; sent < messages; sent += 1) {
    yield { text: "x" };
  }
}
