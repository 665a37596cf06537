// nginx in front of the gateway, configured as in docs/proxies/nginx.conf.

import assert from "node:assert/strict";
import { it } from "node:test";

import { all } from "../src/at-once.js";
import { describeBehind } from "../src/behind.js";
import { Counter } from "../src/counter.js";
import { Proxy } from "../src/proxies.js";
import { AS_EXPECTED, refused, sendAll } from "../src/refused.js";

const AT_ONCE = 20;

describeBehind("nginx", Proxy.nginx, (behind) => {
  it("3,000 refused requests of 0, 20 and 300 kB are answered, none with 502", async () => {
    const requests = [0, 20_000, 300_000].flatMap(refused);
    const found = await sendAll(behind().proxy.url(1), requests, 3000, AT_ONCE);
    all(AS_EXPECTED, 3000, found, () => behind().log());
  });

  it("the connections to the gateway stay open, also after a refused request", async () => {
    const counter = await Counter.start(behind().suite.url);
    const proxy = await Proxy.nginx(counter.url);
    try {
      const found = await sendAll(proxy.url(1), [0, 20_000].flatMap(refused), 300, AT_ONCE);
      all(AS_EXPECTED, 300, found, () => proxy.log());
      assert.ok(counter.connections <= AT_ONCE, `${counter.connections} connections`);
    } finally {
      await proxy.stop();
      await counter.stop();
    }
  });
});
