// A service outside the suite, which the gateway reaches by `--route`.

import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";

import { connectNodeAdapter } from "@connectrpc/connect-node";

import { EchoService } from "../gen/acme/echo/v1/echo_pb.js";

export class Echo {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor() {
    this.#server = createServer(
      connectNodeAdapter({
        routes: (router) => {
          router.service(EchoService, {
            async collect(requests) {
              const texts: string[] = [];
              for await (const { text } of requests) {
                texts.push(text);
              }
              return { texts };
            },
          });
        },
      }),
    );
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
  }

  static async start(): Promise<Echo> {
    const echo = new Echo();
    await new Promise<void>((resolve, reject) => {
      echo.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    return echo;
  }

  /** Returns the gateway's flags for a public route to this service. */
  settings(): string[] {
    const { port } = this.#server.address() as AddressInfo;
    return ["--route", `${EchoService.typeName}=http://127.0.0.1:${port};public`];
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const session of this.#sessions) {
      session.destroy();
    }
    await closed;
  }
}
