// nginx and Envoy in front of the gateway, with the configurations of docs/proxies.

import { readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";

import { type Credentials, type Deployment, OneProcess, temporaryFolder } from "./deployment.js";
import { Program } from "./program.js";
import type { Client } from "./transports.js";

// Attempts to start: another program may take the free port before the proxy does.
const TRIES = 5;
const EXAMPLES = new URL("../../../../docs/proxies/", import.meta.url);

/** nginx's main file, which includes the one for the gateway and sets writable folders. */
const NGINX_MAIN = `
daemon off;
# One process as the current user. Otherwise, if root starts nginx, its workers run as another user.
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include clinic.conf;
}
`;

/** A running proxy. */
export class Proxy {
  readonly #program: Program;
  readonly #folder: string;
  /** Ports for HTTP/1.1, and for HTTP/2 with prior knowledge. */
  readonly #ports: [number, number];

  private constructor(program: Program, folder: string, ports: [number, number]) {
    this.#program = program;
    this.#folder = folder;
    this.#ports = ports;
  }

  /** Starts nginx in front of a server. */
  static nginx(upstream: string): Promise<Proxy> {
    const path = settingOf("CLINIC_TEST_NGINX");
    return Proxy.#start(async (folder) => {
      const ports: [number, number] = [await freePort(), await freePort()];
      const config = await example("nginx.conf", [
        ["127.0.0.1:8080", new URL(upstream).host],
        ["127.0.0.1:8000", `127.0.0.1:${ports[0]}`],
        ["127.0.0.1:8001", `127.0.0.1:${ports[1]}`],
        ["/var/log/nginx/", ""],
      ]);
      await writeFile(join(folder, "clinic.conf"), config);
      await writeFile(join(folder, "nginx.conf"), NGINX_MAIN);
      const args = ["-p", folder, "-c", "nginx.conf", "-e", "stderr"];
      return { program: new Program(path, args, folder), ports };
    });
  }

  /** Starts Envoy in front of a server, with at most `calls` concurrent calls per connection. */
  static envoy(upstream: string, calls = 256): Promise<Proxy> {
    const path = settingOf("CLINIC_TEST_ENVOY");
    return Proxy.#start(async (folder) => {
      const port = await freePort();
      const config = await example("envoy.yaml", [
        ["port_value: 8080", `port_value: ${new URL(upstream).port}`],
        ["port_value: 8000", `port_value: ${port}`],
        ["max_concurrent_streams: 256", `max_concurrent_streams: ${calls}`],
      ]);
      const file = join(folder, "envoy.yaml");
      await writeFile(file, config);
      // One thread, so that the calls of all clients share few connections to the gateway.
      const args = ["-c", file, "--concurrency", "1", "--disable-hot-restart"];
      const program = new Program(path, [...args, "--log-level", "warning"], folder);
      return { program, ports: [port, port] };
    });
  }

  static async #start(
    launch: (folder: string) => Promise<{ program: Program; ports: [number, number] }>,
  ): Promise<Proxy> {
    const folder = await temporaryFolder();
    for (let tries = 1; ; tries += 1) {
      const { program, ports } = await launch(folder);
      try {
        await Promise.all(ports.map((port) => program.listensOn(port)));
        return new Proxy(program, folder, ports);
      } catch (error) {
        await Promise.allSettled([program.stop()]);
        if (tries === TRIES) {
          await rm(folder, { recursive: true, force: true });
          throw error;
        }
      }
    }
  }

  url(httpVersion: 1 | 2): string {
    return `http://127.0.0.1:${this.#ports[httpVersion - 1]}`;
  }

  /** The last lines of the log. */
  log(): string {
    return this.#program.log();
  }

  async stop(): Promise<void> {
    try {
      await this.#program.stop();
    } finally {
      await rm(this.#folder, { recursive: true, force: true });
    }
  }
}

/** `clinic up` behind a proxy. */
export class BehindProxy {
  readonly suite: OneProcess;
  readonly proxy: Proxy;

  private constructor(suite: OneProcess, proxy: Proxy) {
    this.suite = suite;
    this.proxy = proxy;
  }

  static async start(
    proxy: (upstream: string) => Promise<Proxy>,
    ...settings: string[]
  ): Promise<BehindProxy> {
    const suite = await OneProcess.start("--behind-proxy", ...settings);
    try {
      return new BehindProxy(suite, await proxy(suite.url));
    } catch (error) {
      await Promise.allSettled([suite.stop()]);
      throw error;
    }
  }

  /** Returns the deployment with the proxy's URL for a client. */
  for(client: Client): Deployment {
    const admin: Credentials = this.suite.admin;
    const stop = () => this.stop();
    return { url: this.proxy.url(client.httpVersion), admin, stop };
  }

  /** The last lines of both logs, for error messages. */
  log(): string {
    return `the proxy's log:\n${this.proxy.log()}\nthe suite's log:\n${this.suite.log()}`;
  }

  async stop(): Promise<void> {
    try {
      await this.proxy.stop();
    } finally {
      await this.suite.stop();
    }
  }
}

/** Returns a configuration of docs/proxies with texts replaced. */
async function example(name: string, replacements: [string, string][]): Promise<string> {
  let text = await readFile(new URL(name, EXAMPLES), "utf8");
  for (const [address, other] of replacements) {
    if (!text.includes(address)) {
      throw new Error(`docs/proxies/${name} does not contain ${address}`);
    }
    text = text.replaceAll(address, other);
  }
  return text;
}

function settingOf(name: string): string {
  const value = process.env[name];
  if (!value) {
    throw new Error(`${name} is not set: run these tests with \`cargo xtask test --proxies-only\``);
  }
  return value;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
