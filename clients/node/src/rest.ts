// A client of the REST API, like a web page.

import assert from "node:assert/strict";

export class Rest {
  readonly #url: string;
  token: string | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Calls, expects a status, and returns the JSON of the response. */
  async call(method: string, path: string, status: number, body?: object): Promise<any> {
    const headers: Record<string, string> = { connection: "close" };
    if (body) {
      headers["content-type"] = "application/json";
    }
    if (this.token) {
      headers["authorization"] = `Bearer ${this.token}`;
    }
    const content = body ? JSON.stringify(body) : null;
    const answer = await fetch(this.#url + path, { method, headers, body: content });
    const text = await answer.text();
    assert.equal(answer.status, status, `${method} ${path}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
}
