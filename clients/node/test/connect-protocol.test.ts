// Errors with Connect's own transport, whose protocol the suite does not support.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport as createNodeConnectTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { createConnectTransport } from "@connectrpc/connect-web";

import { AuthService } from "../gen/clinic/auth/v1/auth_pb.js";
import { OneProcess } from "../src/deployment.js";

const LOGIN = AuthService.method.login;
type Input = typeof LOGIN.input;
type Output = typeof LOGIN.output;
// The contract has no streams yet, and no methods that clients may call by GET.
const STREAM = {
  ...LOGIN,
  methodKind: "server_streaming",
} as unknown as DescMethodServerStreaming<Input, Output>;
const GET = {
  ...LOGIN,
  idempotency: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
} as unknown as DescMethodUnary<Input, Output>;

describe("a client of the Connect protocol", () => {
  let suite: OneProcess;
  let sessionManager: Http2SessionManager;
  before(async () => {
    suite = await OneProcess.start();
    sessionManager = new Http2SessionManager(suite.url);
  });
  after(async () => {
    sessionManager?.abort();
    await suite?.stop();
  });

  type Options = { baseUrl: string; useBinaryFormat: boolean; useHttpGet: boolean };
  const clients: Record<string, (options: Options) => Transport> = {
    "connect-web": (options) => createConnectTransport(options),
    "connect-node over HTTP/1.1": (options) =>
      createNodeConnectTransport({ ...options, httpVersion: "1.1" }),
    "connect-node over HTTP/2": (options) =>
      createNodeConnectTransport({ ...options, httpVersion: "2", sessionManager }),
  };
  for (const [name, connect] of Object.entries(clients)) {
    for (const useBinaryFormat of [false, true]) {
      it(`${name} is told what to use (${useBinaryFormat ? "binary" : "JSON"})`, async () => {
        const transport = connect({ baseUrl: suite.url, useBinaryFormat, useHttpGet: true });
        const auth = createClient(AuthService, transport);
        await isTold(auth.login({ email: "ada@example.com", password: "secret" }));
        await isTold(transport.unary(GET, undefined, undefined, undefined, {}));
        await isTold(streamed(transport));
      });
    }
  }
});

async function streamed(transport: Transport): Promise<void> {
  async function* requests() {
    yield {};
  }
  const answer = await transport.stream(STREAM, undefined, undefined, undefined, requests());
  for await (const _ of answer.message) {
    assert.fail("unexpected message");
  }
}

async function isTold(call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ConnectError, String(error));
    assert.equal(Code[error.code], "Unimplemented", error.message);
    assert.match(error.message, /^\[unimplemented\] .*gRPC-Web.*createGrpcWebTransport.*\/api\//);
    return true;
  });
}
