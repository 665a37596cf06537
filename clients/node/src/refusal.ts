// Checks of errors as clients see them.

import assert from "node:assert/strict";

import { Code, ConnectError } from "@connectrpc/connect";

import type { ErrorReason } from "../gen/clinic/access/v1/access_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";

/** Expects a call to fail with a status and a reason. Returns the error. */
export async function refused(
  call: Promise<unknown>,
  code: Code,
  reason: keyof typeof ErrorReason,
): Promise<ConnectError> {
  let error: unknown;
  try {
    await call;
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error !== undefined, `the call succeeded, expected ${Code[code]}`);
  assert.ok(error instanceof ConnectError, `not a response of the server: ${String(error)}`);
  assert.equal(Code[error.code], Code[code], error.message);
  const [info] = error.findDetails(ErrorInfoSchema);
  assert.equal(info?.domain, "clinic");
  assert.equal(info?.reason, reason);
  return error;
}

/** Returns the invalid fields of an INVALID_ARGUMENT error, sorted. */
export function badFields(error: ConnectError): string[] {
  const violations = error.findDetails(BadRequestSchema).flatMap((one) => one.fieldViolations);
  for (const violation of violations) {
    assert.notEqual(violation.description, "", `${violation.field} has no description`);
  }
  return [...new Set(violations.map((violation) => violation.field))].sort();
}

/** Returns the whole content of an error, to compare two errors. */
export function wording(error: ConnectError): unknown {
  const details = error.findDetails(ErrorInfoSchema);
  return { code: error.code, message: error.rawMessage, details };
}
