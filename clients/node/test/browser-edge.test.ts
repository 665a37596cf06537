// The gateway as browsers use it: CORS and security headers.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { ALLOWED_ORIGIN, OneProcess } from "../src/deployment.js";
import { send, type Answer } from "../src/http.js";

const METHOD = "/clinic.records.v1.PatientService/ListPatients";
// The headers that connect-web and grpc-web send.
const SENT_HEADERS = [
  "authorization",
  "content-type",
  "grpc-timeout",
  "x-grpc-web",
  "x-user-agent",
];

describe("the gateway as a browser sees it", () => {
  let suite: OneProcess;
  before(async () => {
    suite = await OneProcess.start();
  });
  after(() => suite?.stop());

  const preflight = (origin: string) =>
    send("OPTIONS", suite.url + METHOD, {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": SENT_HEADERS.join(","),
    });
  const call = (origin: string) =>
    send(
      "POST",
      suite.url + METHOD,
      { origin, "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
      new Uint8Array(5),
    );

  it("answers the preflight of an allowed origin", async () => {
    const { status, headers } = await preflight(ALLOWED_ORIGIN);
    assert.ok(status === 200 || status === 204, `status ${status}`);
    assert.equal(headers["access-control-allow-origin"], ALLOWED_ORIGIN);
    assert.ok(listed(headers["access-control-allow-methods"]).includes("post"));
    const allowed = listed(headers["access-control-allow-headers"]);
    for (const header of SENT_HEADERS) {
      assert.ok(allowed.includes(header), `${header} is allowed`);
    }
    assert.ok(listed(headers["vary"]).includes("origin"));
  });

  it("lets an allowed origin read the status and its details", async () => {
    const { headers } = await call(ALLOWED_ORIGIN);
    assert.equal(headers["access-control-allow-origin"], ALLOWED_ORIGIN);
    const exposed = listed(headers["access-control-expose-headers"]);
    for (const header of ["grpc-status", "grpc-message", "grpc-status-details-bin"]) {
      assert.ok(exposed.includes(header), `${header} is exposed`);
    }
  });

  it("gives no other origin a permission", async () => {
    const others = ["http://evil.example", `${ALLOWED_ORIGIN}.evil.example`, "null"];
    for (const origin of others) {
      for (const answer of [await preflight(origin), await call(origin)]) {
        assert.equal(answer.headers["access-control-allow-origin"], undefined, origin);
      }
    }
  });

  it("sends the security headers with every answer", async () => {
    const answers: Answer[] = [
      await call(ALLOWED_ORIGIN),
      await send("GET", `${suite.url}/nothing-here`, {}),
    ];
    for (const { headers } of answers) {
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["x-frame-options"]?.toString().toLowerCase(), "deny");
      assert.match(headers["cache-control"] ?? "", /no-store/);
    }
  });

  it("publishes the keys that verify its tokens", async () => {
    const { status, headers } = await send("GET", `${suite.url}/.well-known/jwks.json`, {});
    assert.equal(status, 200);
    assert.match(headers["content-type"] ?? "", /json/);
  });
});

/** Returns the items of a comma-separated header, in lower case. */
function listed(value: string | string[] | undefined): string[] {
  return [value ?? []]
    .flat()
    .join(",")
    .toLowerCase()
    .split(",")
    .map((item) => item.trim());
}
