// Tests that pass through any proxy in front of the gateway.

import assert from "node:assert/strict";
import { Agent } from "node:http";
import { after, before, describe, it } from "node:test";

import { describeBehaviour } from "./behaviour.js";
import { send } from "./http.js";
import { BehindProxy, type Proxy } from "./proxies.js";
import { SMALL_MESSAGES } from "./refused.js";
import { Rest } from "./rest.js";
import { Member, unique } from "./session.js";
import { CLIENTS } from "./transports.js";

// Linux supports all of 127.0.0.0/8; on other systems the proxy and the client share an address.
const CLIENT_ADDRESS = process.platform === "linux" ? "127.0.0.2" : "127.0.0.1";

/** Declares the tests for one proxy; `further` declares its specific ones. */
export function describeBehind(
  name: string,
  proxy: (upstream: string) => Promise<Proxy>,
  further: (behind: () => BehindProxy) => void,
): void {
  describe(`behind ${name}`, () => {
    let behind: BehindProxy;
    before(async () => {
      behind = await BehindProxy.start(proxy, ...SMALL_MESSAGES);
    });
    after(() => behind?.stop());

    for (const client of CLIENTS) {
      describeBehaviour(client, () => behind.for(client));
    }

    it("STAFF log in and keep their patients over REST", async () => {
      const rest = new Rest(behind.proxy.url(1));
      const account = { email: `${unique("user")}@clinic.example`, password: "securepassword123" };
      await rest.call("POST", "/api/auth/register/", 201, { name: "Robin Example", ...account });
      const { tokens } = await rest.call("POST", "/api/auth/login/", 200, account);
      rest.token = tokens.access;
      const entered = { first_name: "Ada", last_name: "Lovelace", gender: "F" };
      const { id } = await rest.call("POST", "/api/patients/", 201, entered);
      const { patients } = await rest.call("GET", "/api/patients/", 200);
      assert.deepEqual(
        patients.map((one: { id: string }) => one.id),
        [id],
      );
      const changed = { first_name: "Augusta" };
      const patient = await rest.call("PATCH", `/api/patients/${id}/`, 200, changed);
      assert.equal(patient.first_name, "Augusta");
      await rest.call("DELETE", `/api/patients/${id}/`, 204);
      await rest.call("GET", `/api/patients/${id}/`, 404);
    });

    it("a sign-in shows the client's address, not the proxy's or one that the client claims", async () => {
      const [client] = CLIENTS;
      assert.ok(client);
      const { transport, close } = client.connect(behind.for(client).url);
      const staff = await Member.register(transport);
      const body = Buffer.from(JSON.stringify(staff.credentials));
      const headers = { "content-type": "application/json", "x-forwarded-for": "203.0.113.7" };
      const url = `${behind.proxy.url(1)}/api/auth/login/`;
      const agent = new Agent({ localAddress: CLIENT_ADDRESS });
      assert.equal((await send("POST", url, headers, body, agent)).status, 200);
      const { sessions } = await staff.auth.listSessions({});
      assert.equal(sessions[0]?.clientIp, CLIENT_ADDRESS);
      close();
    });

    further(() => behind);
  });
}
