// Plain HTTP as a browser would send it: `fetch` would keep the test from setting `Origin`.

import { request, type IncomingHttpHeaders } from "node:http";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
}

/** Sends a request and reads the answer to its end. */
export function send(
  method: string,
  url: string,
  headers: Record<string, string>,
  body: Uint8Array = new Uint8Array(),
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // One connection a request: nothing stays open when the test ends.
    const sent = request(url, { method, headers, agent: false }, (response) => {
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers }),
      );
      response.resume();
    });
    sent.on("error", reject);
    sent.end(body);
  });
}
