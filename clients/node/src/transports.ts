// The tested clients, each as a Connect transport.

import type { Transport } from "@connectrpc/connect";
import {
  createGrpcTransport,
  createGrpcWebTransport as createNodeGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { createGrpcWebTextTransport } from "./grpc-web-text.js";

export interface Connection {
  transport: Transport;
  close(): void;
}

export interface Client {
  name: string;
  httpVersion: 1 | 2;
  connect(baseUrl: string): Connection;
}

export const CLIENTS: readonly Client[] = [
  {
    name: "connect-web (gRPC-Web over HTTP/1.1)",
    httpVersion: 1,
    connect: (baseUrl) => ({
      transport: createGrpcWebTransport({ baseUrl, useBinaryFormat: true }),
      close: () => undefined,
    }),
  },
  {
    name: "grpc-web (text, over HTTP/1.1)",
    httpVersion: 1,
    connect: (baseUrl) => ({
      transport: createGrpcWebTextTransport(baseUrl),
      close: () => undefined,
    }),
  },
  {
    name: "connect-node (gRPC-Web over HTTP/2)",
    httpVersion: 2,
    connect: (baseUrl) => {
      const sessionManager = new Http2SessionManager(baseUrl);
      return {
        transport: createNodeGrpcWebTransport({ baseUrl, httpVersion: "2", sessionManager }),
        close: () => sessionManager.abort(),
      };
    },
  },
  {
    name: "connect-node (native gRPC)",
    httpVersion: 2,
    connect: (baseUrl) => {
      const sessionManager = new Http2SessionManager(baseUrl);
      return {
        transport: createGrpcTransport({ baseUrl, sessionManager }),
        close: () => sessionManager.abort(),
      };
    },
  },
];
