// Envoy in front of the gateway, configured as in docs/proxies/envoy.yaml. It forwards all calls over
// few HTTP/2 connections.

import assert from "node:assert/strict";
import { it } from "node:test";

import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { all, type Outcomes, outcomes } from "../src/at-once.js";
import { describeBehind } from "../src/behind.js";
import { Proxy } from "../src/proxies.js";
import { AS_EXPECTED, refused, sendAll } from "../src/refused.js";
import { Member, Session, somePatient } from "../src/session.js";

const CLIENTS = 20;
const CALLS = 50;
const ALL = CLIENTS * CALLS;
const ROUNDS = 5;
const ANSWERED = "answered";

describeBehind("Envoy", Proxy.envoy, (behind) => {
  it(`${CLIENTS} clients with ${CALLS} calls at once lose none, ${ROUNDS} times in a row`, async () => {
    await withClients(behind().proxy.url(2), async (burst) => {
      for (let round = 1; round <= ROUNDS; round += 1) {
        all(ANSWERED, ALL, await burst(), () => `in round ${round}\n${behind().log()}`);
      }
    });
  });

  it("calls above the gateway's limit for a connection are refused singly", async () => {
    // Envoy's default: it sends all calls on a new connection before it has read the limit.
    const proxy = await Proxy.envoy(behind().suite.url, 1024);
    try {
      await withClients(proxy.url(2), async (burst) => {
        const found = await burst();
        const lost = Object.keys(found).filter(
          (outcome) => outcome !== ANSWERED && !outcome.endsWith("remote refused stream reset"),
        );
        assert.deepEqual(lost, [], JSON.stringify(found));
        assert.ok((found[ANSWERED] ?? 0) >= 256, JSON.stringify(found));
      });
    } finally {
      await proxy.stop();
    }
  });

  it("500 refused requests of 0, 20 and 300 kB are answered", async () => {
    const requests = [0, 20_000, 300_000].flatMap(refused);
    const found = await sendAll(behind().proxy.url(1), requests, 500, 20);
    all(AS_EXPECTED, 500, found, () => behind().log());
  });
});

/** Runs a test with CLIENTS connections. A burst is CALLS concurrent calls on each of them. */
async function withClients(
  baseUrl: string,
  test: (burst: () => Promise<Outcomes>) => Promise<void>,
): Promise<void> {
  const connections = Array.from({ length: CLIENTS }, () => new Http2SessionManager(baseUrl));
  const transports = connections.map((sessionManager) =>
    createGrpcTransport({ baseUrl, sessionManager }),
  );
  try {
    const staff = await Member.register(createGrpcTransport({ baseUrl }));
    const { id } = await staff.patients.createPatient({ patient: somePatient() });
    const callers = transports.map((transport) => new Session(transport, staff.tokens.access));
    await test(() =>
      outcomes(ALL, ALL, async (number) => {
        const caller = callers[number % CLIENTS] ?? staff;
        const patient = await caller.patients.getPatient({ id });
        return patient.id === id ? ANSWERED : "another patient";
      }),
    );
  } finally {
    connections.forEach((connection) => connection.abort());
  }
}
