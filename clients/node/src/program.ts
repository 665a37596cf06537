// Runs programs, the suite's and others, and reads their output.

import { spawn, type ChildProcess } from "node:child_process";
import { connect } from "node:net";
import { basename, dirname, isAbsolute, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

// Enough for a debug build on two busy cores; a start usually takes a second.
const READY_WITHIN_MS = 60_000;
const STOPPED_WITHIN_MS = 30_000;

/** Returns the path of a program. The suite's programs are next to `clinic`, see `CLINIC_BIN`. */
function pathOf(name: string): string {
  if (isAbsolute(name)) {
    return name;
  }
  const clinic = process.env["CLINIC_BIN"];
  if (!clinic) {
    throw new Error("CLINIC_BIN is not set: run these tests with `cargo xtask test`");
  }
  return name === "clinic" ? clinic : join(dirname(clinic), name);
}

/** Returns the environment without the suite's settings, which may be set in the developer's shell. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("CLINIC_") && name !== "DATABASE_URL",
  );
  return Object.fromEntries(kept);
}

export class Program {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #stdout: string[] = [];
  readonly #stderr: string[] = [];
  /** Resolves with the exit code when the process has ended and its output has been read. */
  readonly #ended: Promise<number | null>;
  #onLine: (() => void) | undefined;

  /**
   * Starts a program in `folder`, where it does not read the `.env` of the checkout.
   */
  constructor(name: string, args: string[], folder: string) {
    this.#name = `${basename(name)} ${args[0] ?? ""}`.trim();
    this.#child = spawn(pathOf(name), args, {
      cwd: folder,
      env: cleanEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#collect(this.#child.stdout, this.#stdout);
    this.#collect(this.#child.stderr, this.#stderr);
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code) => resolve(code));
    });
    // An unhandled rejection would end the test run; callers that wait for the end still get it.
    this.#ended.catch(() => undefined);
  }

  /** Runs a program until it ends. Returns the lines of its stdout. */
  static async run(name: string, args: string[], folder: string): Promise<readonly string[]> {
    const program = new Program(name, args, folder);
    const code = await within(program.#ended, READY_WITHIN_MS, () =>
      program.#failure("did not end"),
    );
    if (code !== 0) {
      throw program.#failure(`ended with ${code}`);
    }
    return program.stdout;
  }

  get stdout(): readonly string[] {
    return this.#stdout;
  }

  get stderr(): readonly string[] {
    return this.#stderr;
  }

  /** Waits for a stdout line that begins with `beginning`. Returns the rest of the line. */
  async line(beginning: string): Promise<string> {
    const printed = new Promise<string>((resolve) => {
      this.#onLine = () => {
        const found = restOf(this.#stdout, beginning);
        if (found !== undefined) {
          resolve(found);
        }
      };
      this.#onLine();
    });
    const died = this.#ended.then((code) => {
      throw this.#failure(`ended with ${code} before it printed "${beginning}"`);
    });
    try {
      return await within(Promise.race([printed, died]), READY_WITHIN_MS, () =>
        this.#failure(`did not print "${beginning}"`),
      );
    } finally {
      this.#onLine = undefined;
    }
  }

  /** Waits until a port of this machine accepts connections. */
  async listensOn(port: number): Promise<void> {
    let ended = false;
    const died = this.#ended.then((code) => {
      ended = true;
      throw this.#failure(`ended with ${code} before it listened`);
    });
    const listens = async () => {
      while (!ended && !(await canConnect(port))) {
        await delay(20);
      }
    };
    await within(Promise.race([listens(), died]), READY_WITHIN_MS, () =>
      this.#failure(`did not listen on port ${port}`),
    );
  }

  /** The last lines of the log, for error messages. */
  log(lines = 10): string {
    return this.#stderr.slice(-lines).join("\n");
  }

  /** Sends SIGTERM and expects the process to end in time, with exit code 0. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const code = await within(this.#ended, STOPPED_WITHIN_MS, () => {
      this.#child.kill("SIGKILL");
      return this.#failure("did not stop on SIGTERM");
    });
    if (code !== 0) {
      throw this.#failure(`ended with ${code} on SIGTERM`);
    }
  }

  #collect(stream: NodeJS.ReadableStream | null, lines: string[]): void {
    if (stream) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        this.#onLine?.();
      });
    }
  }

  #failure(what: string): Error {
    const stdout = this.#stdout.slice(-10).join("\n");
    return new Error(`${this.#name} ${what}\n${stdout}\n${this.log(40)}`);
  }
}

/** Returns the rest of the first line that begins with `beginning`. */
export function restOf(lines: readonly string[], beginning: string): string | undefined {
  return lines
    .find((line) => line.startsWith(beginning))
    ?.slice(beginning.length)
    .trim();
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

async function within<T>(work: Promise<T>, ms: number, failure: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failure()), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
