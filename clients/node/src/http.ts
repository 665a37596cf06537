// Plain HTTP as a browser sends it. `fetch` does not allow setting `Origin`.

import { request, type Agent, type IncomingHttpHeaders } from "node:http";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
}

/**
 * Sends a request and reads the whole response. Without an agent each request uses a new connection,
 * which does not stay open after the test.
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
    // Sends the head before the body, as streaming clients do. The response may arrive in between.
    sent.flushHeaders();
    setImmediate(() => sent.end(body));
  });
}
