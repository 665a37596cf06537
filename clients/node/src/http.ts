// Plain HTTP as a browser would send it: `fetch` would keep the test from setting `Origin`.

import { request, type Agent, type IncomingHttpHeaders } from "node:http";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
}

/**
 * Sends a request and reads the answer to its end. Without an agent each request has a connection of
 * its own, so that nothing stays open when the test ends.
 */
export function send(
  method: string,
  url: string,
  headers: Record<string, string>,
  body: Uint8Array = new Uint8Array(),
  agent: Agent | false = false,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sized = { ...headers, "content-length": `${body.length}` };
    const sent = request(url, { method, headers: sized, agent }, (response) => {
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers }),
      );
      response.resume();
    });
    sent.on("error", reject);
    if (body.length === 0) {
      sent.end();
      return;
    }
    // First the head, then the body, as clients do that stream it. The answer may come in between.
    sent.flushHeaders();
    setImmediate(() => sent.end(body));
  });
}
