// `clinic up`: the whole suite in one process on SQLite.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { describeBehaviour } from "../src/behaviour.js";
import { OneProcess } from "../src/deployment.js";
import { restOf } from "../src/program.js";
import { Member, somePatient } from "../src/session.js";
import { CLIENTS, type Client } from "../src/transports.js";

describe("clinic up over SQLite", () => {
  let suite: OneProcess;
  before(async () => {
    suite = await OneProcess.start();
  });
  after(() => suite?.stop());
  for (const client of CLIENTS) {
    describeBehaviour(client, () => suite);
  }
});

it("a second start keeps the data and prints no password", async () => {
  const [client] = CLIENTS as [Client, ...Client[]];
  const suite = await OneProcess.start();
  try {
    const first = client.connect(suite.url);
    const staff = await Member.register(first.transport);
    const patient = await staff.patients.createPatient({ patient: somePatient() });
    first.close();

    await suite.restart();
    assert.equal(restOf(suite.printed, "admin password: "), undefined);
    const second = client.connect(suite.url);
    const again = await Member.logIn(second.transport, staff.credentials);
    assert.deepEqual(await again.patients.getPatient({ id: patient.id }), patient);
    await Member.logIn(second.transport, suite.admin);
    second.close();
  } finally {
    await suite.stop();
  }
});
