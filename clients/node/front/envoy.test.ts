// Envoy in front of the gateway, configured as docs/proxies/envoy.yaml shows. It passes all calls on
// over few HTTP/2 connections.

import { it } from "node:test";

import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { all, outcomes } from "../src/at-once.js";
import { describeBehind } from "../src/behind.js";
import { Proxy } from "../src/proxies.js";
import { AS_EXPECTED, refused, sendAll } from "../src/refused.js";
import { Member, Session, somePatient } from "../src/session.js";

const CLIENTS = 20;
const CALLS = 50;
const ROUNDS = 5;

describeBehind("Envoy", Proxy.envoy, (behind) => {
  it(`${CLIENTS} clients with ${CALLS} calls at once lose none, ${ROUNDS} times in a row`, async () => {
    const baseUrl = behind().proxy.url(2);
    const connections = Array.from({ length: CLIENTS }, () => new Http2SessionManager(baseUrl));
    const [first, ...others] = connections.map((sessionManager) =>
      createGrpcTransport({ baseUrl, sessionManager }),
    );
    const staff = await Member.register(first!);
    const { id } = await staff.patients.createPatient({ patient: somePatient() });
    const callers = [
      staff,
      ...others.map((transport) => new Session(transport, staff.tokens.access)),
    ];
    try {
      for (let round = 1; round <= ROUNDS; round += 1) {
        const found = await outcomes(CLIENTS * CALLS, CLIENTS * CALLS, async (number) => {
          const caller = callers[number % CLIENTS] ?? staff;
          const patient = await caller.patients.getPatient({ id });
          return patient.id === id ? "answered" : "another patient";
        });
        all("answered", CLIENTS * CALLS, found, () => `in round ${round}\n${behind().log()}`);
      }
    } finally {
      connections.forEach((connection) => connection.abort());
    }
  });

  it("500 refused requests of 0, 20 and 300 kB are answered", async () => {
    const requests = [0, 20_000, 300_000].flatMap(refused);
    const found = await sendAll(behind().proxy.url(1), requests, 500, 20);
    all(AS_EXPECTED, 500, found, () => behind().log());
  });
});
