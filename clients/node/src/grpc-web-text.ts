// The official grpc-web client in text mode, as a Connect transport, so that the same tests run with
// every client. It needs XMLHttpRequest, which Node lacks.

import { createRequire } from "node:module";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { GrpcWebClientBase, MethodDescriptor, RpcError } from "grpc-web";

import { StatusSchema } from "../gen/google/rpc/status_pb.js";

const { XMLHttpRequest } = createRequire(import.meta.url)("xmlhttprequest-ssl");
Object.assign(globalThis, { XMLHttpRequest });

export function createGrpcWebTextTransport(baseUrl: string): Transport {
  const client = new GrpcWebClientBase({ format: "text" });
  return {
    async unary(method, _signal, timeoutMs, header, input) {
      const headers = Object.fromEntries(new Headers(header));
      if (timeoutMs !== undefined) {
        headers["deadline"] = String(Date.now() + timeoutMs);
      }
      const path = `/${method.parent.typeName}/${method.name}`;
      const request = create(method.input, input);
      try {
        const message = await client.unaryCall(
          baseUrl + path,
          request,
          headers,
          descriptor(path, method),
        );
        return {
          stream: false,
          service: method.parent,
          method,
          header: new Headers(),
          trailer: new Headers(),
          message,
        };
      } catch (error) {
        throw error instanceof RpcError ? asConnectError(error) : error;
      }
    },
    stream() {
      throw new ConnectError("no streams in these tests", Code.Unimplemented);
    },
  };
}

function descriptor<I extends DescMessage, O extends DescMessage>(
  path: string,
  method: DescMethodUnary<I, O>,
): MethodDescriptor<MessageShape<I>, MessageShape<O>> {
  // The client requires classes, but uses only the two functions.
  const none = Object as never;
  return new MethodDescriptor<MessageShape<I>, MessageShape<O>>(
    path,
    "unary",
    none,
    none,
    (message: MessageShape<I>) => toBinary(method.input, message),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

function asConnectError(error: RpcError): ConnectError {
  const headers = new Headers(error.metadata);
  const answer = new ConnectError(error.message, error.code as number, headers);
  const encoded = headers.get("grpc-status-details-bin");
  if (encoded) {
    const status = fromBinary(StatusSchema, Buffer.from(encoded, "base64"));
    answer.details = status.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
  }
  return answer;
}
