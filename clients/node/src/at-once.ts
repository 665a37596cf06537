// Many calls at the same time, and what became of them.

import assert from "node:assert/strict";

/** How often each outcome came, by a short text for it. */
export type Outcomes = Record<string, number>;

/** Makes calls, so many at once, until `calls` were made; a call that fails counts by its error. */
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

/** Expects one outcome of all calls; the log tells why it was another. */
export function all(outcome: string, calls: number, found: Outcomes, log: () => string): void {
  if (found[outcome] !== calls) {
    assert.fail(`${calls} calls should be ${outcome}, were ${JSON.stringify(found)}\n${log()}`);
  }
}

function textOf(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : String(error);
}
