// The two ways to run the suite: in one process on SQLite, and as separate processes on PostgreSQL.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Program, restOf } from "./program.js";

/** The web origin that may call the gateway. */
export const ALLOWED_ORIGIN = "http://app.example";

export interface Credentials {
  email: string;
  password: string;
}

/** A running suite. */
export interface Deployment {
  /** The gateway's URL. */
  readonly url: string;
  readonly admin: Credentials;
  /** Stops all processes, and expects exit code 0 of each. */
  stop(): Promise<void>;
}

/** `clinic up` on SQLite. It can be restarted with the same data. */
export class OneProcess implements Deployment {
  readonly #folder: string;
  readonly #settings: string[];
  #program: Program;
  #url: string;
  readonly admin: Credentials;

  private constructor(
    folder: string,
    settings: string[],
    program: Program,
    url: string,
    admin: Credentials,
  ) {
    this.#folder = folder;
    this.#settings = settings;
    this.#program = program;
    this.#url = url;
    this.admin = admin;
  }

  /** Starts the suite with additional flags. */
  static async start(...settings: string[]): Promise<OneProcess> {
    const folder = await temporaryFolder();
    const program = OneProcess.#launch(folder, settings);
    try {
      const url = await program.line("clinic ready: ");
      const email = restOf(program.stdout, "admin account: ");
      const password = restOf(program.stdout, "admin password: ");
      if (!email || !password) {
        throw new Error(`the first start printed no admin account:\n${program.stdout.join("\n")}`);
      }
      return new OneProcess(folder, settings, program, url, { email, password });
    } catch (error) {
      await Promise.allSettled([program.stop()]);
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  static #launch(folder: string, settings: string[]): Program {
    const data = join(folder, "data");
    const args = ["up", "--data-dir", data, "--listen", "127.0.0.1:0"];
    return new Program("clinic", [...args, "--cors-origin", ALLOWED_ORIGIN, ...settings], folder);
  }

  get url(): string {
    return this.#url;
  }

  /** The lines that the running process has printed on stdout. */
  get printed(): readonly string[] {
    return this.#program.stdout;
  }

  /** The last lines of the log. */
  log(): string {
    return this.#program.log();
  }

  async restart(): Promise<void> {
    await this.#program.stop();
    this.#program = OneProcess.#launch(this.#folder, this.#settings);
    this.#url = await this.#program.line("clinic ready: ");
  }

  async stop(): Promise<void> {
    try {
      await this.#program.stop();
    } finally {
      await rm(this.#folder, { recursive: true, force: true });
    }
  }
}

/** auth, two replicas of records, assignment and the gateway, on one PostgreSQL server. */
export class SeparateProcesses implements Deployment {
  readonly #folder: string;
  readonly #programs: Program[];
  readonly #records: readonly [Program, Program];
  readonly url: string;
  readonly admin: Credentials;

  private constructor(
    folder: string,
    programs: Program[],
    records: readonly [Program, Program],
    url: string,
    admin: Credentials,
  ) {
    this.#folder = folder;
    this.#programs = programs;
    this.#records = records;
    this.url = url;
    this.admin = admin;
  }

  static async start(server: string): Promise<SeparateProcesses> {
    const folder = await temporaryFolder();
    const programs: Program[] = [];
    try {
      return await SeparateProcesses.#launch(server, folder, programs);
    } catch (error) {
      // The started processes must not outlive the test.
      await Promise.allSettled(programs.map((program) => program.stop()));
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  static async #launch(
    server: string,
    folder: string,
    programs: Program[],
  ): Promise<SeparateProcesses> {
    const keys = ["--keys-dir", join(folder, "keys")];
    // Separate databases, because other tests may use the same server.
    const prefix = `clinic_${randomBytes(6).toString("hex")}_`;
    const database = (name: string) => ["--database-url", withDatabase(server, prefix + name)];

    await Program.run("clinic", ["keys", "init", ...keys], folder);
    const databases = ["--database-url", server, "--database-prefix", prefix];
    await Program.run("clinic", ["migrate", ...databases], folder);
    const email = "admin@clinic.example";
    const create = ["admin", "create", "--email", email, ...databases];
    const password = restOf(await Program.run("clinic", create, folder), "admin password: ");
    if (!password) {
      throw new Error("`clinic admin create` printed no password");
    }

    const launch = (name: string, args: string[]) => {
      const program = new Program(name, ["--listen", "127.0.0.1:0", ...keys, ...args], folder);
      programs.push(program);
      return program;
    };
    const ready = (name: string, program: Program) => program.line(`${name} ready: `);

    const records = [
      launch("clinic-records", database("records")),
      launch("clinic-records", database("records")),
    ] as const;
    const recordsUrls = await Promise.all(records.map((one) => ready("clinic-records", one)));
    const recordsFlag = ["--records-url", recordsUrls.join(",")];
    const auth = launch("clinic-auth", [...database("auth"), ...recordsFlag]);
    const assignment = launch("clinic-assignment", [...database("assignment"), ...recordsFlag]);
    const gateway = launch("clinic-gateway", [
      ...["--auth-url", await ready("clinic-auth", auth)],
      ...["--assignment-url", await ready("clinic-assignment", assignment)],
      ...recordsFlag,
      ...["--cors-origin", ALLOWED_ORIGIN],
    ]);
    const url = await ready("clinic-gateway", gateway);
    return new SeparateProcesses(folder, programs, records, url, { email, password });
  }

  async stop(): Promise<void> {
    try {
      // The gateway first, so that no call reaches a stopped service.
      for (const program of [...this.#programs].reverse()) {
        await program.stop();
      }
    } finally {
      await Promise.allSettled(this.#programs.map((program) => program.stop()));
      await rm(this.#folder, { recursive: true, force: true });
    }
  }

  /** Returns the number of calls that each replica of records served, once they have stopped. */
  recordsCalls(): number[] {
    return this.#records.map(callsServed);
  }
}

/** Returns the count in the log line that a service writes when it stops. */
function callsServed(program: Program): number {
  for (const line of program.stderr) {
    const entry = logEntry(line);
    if (entry?.message === "stopped" && entry.calls !== undefined) {
      return entry.calls;
    }
  }
  throw new Error(
    `no "stopped" line with a count of calls:\n${program.stderr.slice(-5).join("\n")}`,
  );
}

function logEntry(line: string): { message?: string; calls?: number } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function withDatabase(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

/** Creates a folder for one test, which the test must remove. */
export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "clinic-client-test-"));
}
