// A TCP forwarder that counts the connections to the gateway.

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class Counter {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Connections so far. */
  connections = 0;

  private constructor(upstream: string) {
    const { hostname, port } = new URL(upstream);
    this.#server = createServer({ allowHalfOpen: true }, (incoming) => {
      this.connections += 1;
      const outgoing = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
      this.#join(incoming, outgoing);
      this.#join(outgoing, incoming);
    });
  }

  static async start(upstream: string): Promise<Counter> {
    const counter = new Counter(upstream);
    await new Promise<void>((resolve, reject) => {
      counter.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    return counter;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    await closed;
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.pipe(to);
    // Forwards a reset; the other side may already be closed.
    from.once("error", () => to.resetAndDestroy());
    from.once("close", () => this.#sockets.delete(from));
  }
}
