// Makes many concurrent calls and counts their outcomes.

import assert from "node:assert/strict";

/** The number of calls with each outcome, by a short text. */
export type Outcomes = Record<string, number>;

/** Makes `calls` calls, `atOnce` of them concurrently. The outcome of a failed call is its error. */
export async function outcomes(
  calls: number,
  atOnce: number,
  call: (number: number) => Promise<string>,
): Promise<Outcomes> {
  const found: Outcomes = {};
  let next = 0;
  const caller = async () => {
    while (next < calls) {
      const outcome = await call(next++).catch(textOf);
      found[outcome] = (found[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return found;
}

/** Expects the same outcome of all calls. A failure includes the log. */
export function all(outcome: string, calls: number, found: Outcomes, log: () => string): void {
  if (found[outcome] !== calls) {
    assert.fail(`${calls} calls should be ${outcome}, were ${JSON.stringify(found)}\n${log()}`);
  }
}

function textOf(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : String(error);
}
