// Requests that the gateway refuses before it reads their bodies.

import { Agent } from "node:http";

import { type Outcomes, outcomes } from "./at-once.js";
import { send } from "./http.js";

/** A limit that makes bodies of 20 kB too large. */
export const SMALL_MESSAGES = ["--max-message-bytes", "16384"];

export interface Refused {
  path: string;
  contentType: string;
  body: Uint8Array;
  /** The expected HTTP status, for gRPC-Web followed by a slash and the gRPC code. */
  answer: string;
}

const JSON_TYPE = "application/json";
const GRPC_WEB = "application/grpc-web+proto";

/** Returns requests without a token, with bodies of about `bytes` bytes. */
export function refused(bytes: number): Refused[] {
  const text = new Uint8Array(bytes).fill(0x20);
  const always = [
    { path: "/api/patients/", contentType: JSON_TYPE, body: text, answer: "401" },
    { path: "/api/nothing/", contentType: JSON_TYPE, body: text, answer: "404" },
    { path: "/nothing", contentType: JSON_TYPE, body: text, answer: "404" },
    // A call of the Connect protocol.
    {
      path: "/clinic.auth.v1.AuthService/Login",
      contentType: JSON_TYPE,
      body: text,
      answer: "501",
    },
    {
      path: "/clinic.records.v1.PatientService/ListPatients",
      contentType: GRPC_WEB,
      body: message(bytes),
      answer: "200/16",
    },
    {
      path: "/clinic.records.v1.PatientService/Nothing",
      contentType: GRPC_WEB,
      body: message(bytes),
      answer: "200/12",
    },
  ];
  const login = { path: "/api/auth/login/", body: text };
  // An empty body has neither a wrong type nor a wrong length.
  const withBody = [
    { ...login, contentType: "text/plain", answer: "415" },
    { ...login, contentType: JSON_TYPE, answer: "413" },
    {
      path: "/clinic.auth.v1.AuthService/Login",
      contentType: GRPC_WEB,
      body: message(bytes),
      answer: "200/8",
    },
  ];
  return bytes === 0 ? always : [...always, ...withBody];
}

/** Sends `count` requests over kept connections, `atOnce` concurrently. Returns the outcomes. */
export async function sendAll(
  url: string,
  requests: Refused[],
  count: number,
  atOnce: number,
): Promise<Outcomes> {
  const agent = new Agent({ keepAlive: true, maxSockets: atOnce });
  try {
    return await outcomes(count, atOnce, async (number) => {
      const one = nth(requests, number);
      const type = { "content-type": one.contentType };
      const { status, headers } = await send("POST", url + one.path, type, one.body, agent);
      const code = headers["grpc-status"];
      return judged(one.answer, code === undefined ? `${status}` : `${status}/${code}`);
    });
  } finally {
    agent.destroy();
  }
}

/** The outcome of a request with the expected response. */
export const AS_EXPECTED = "as expected";

export function judged(expected: string, answer: string): string {
  return answer === expected ? AS_EXPECTED : `${answer} instead of ${expected}`;
}

export function nth(requests: Refused[], number: number): Refused {
  return requests[number % requests.length] as Refused;
}

/** Returns a gRPC-Web message: a flag, four bytes of length, and the bytes. */
function message(bytes: number): Uint8Array {
  const frame = Buffer.alloc(5 + bytes);
  frame.writeUInt32BE(bytes, 1);
  return frame;
}
