import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { expect, test } from "vitest";

import { loadConfig } from "../config/load.ts";
import type { CliContext, StopSignal } from "./context.ts";
import { runServer } from "./server.ts";
import { createPalette } from "./terminal/colors.ts";

const inputs = { env: {}, readFile: () => null, cwd: "/", homeDir: "/", platform: "linux" } as const;

/** A process that hands what is logged to `onLog`. */
function createContext(onLog: (text: string) => void) {
  const handlers = new Set<(signal: StopSignal) => void>();
  const output = { write: onLog, isTerminal: false, columns: 80, palette: createPalette(false, {}) };
  const context: CliContext = {
    stdin: Readable.from([]) as unknown as NodeJS.ReadStream,
    stdoutStream: process.stdout,
    stdout: output,
    stderr: output,
    inputs,
    now: () => 0,
    onSignal: (handler) => {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    exitNow: (code) => {
      throw new Error(`exit ${code}`);
    },
  };
  return { context, handlers };
}

test("a server whose port is taken leaves no signal listener behind", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  const { context, handlers } = createContext(() => {});
  try {
    const { config } = loadConfig({ ...inputs, flags: { "--port": String(port) } });
    await expect(runServer(context, config, 0)).rejects.toMatchObject({ code: "port_in_use" });
    expect(handlers.size).toBe(0);
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test("a server that is stopped while its model loads says by which signal", async () => {
  const { context, handlers } = createContext((text) => {
    if (text.includes("the model is loading")) for (const handler of handlers) handler("SIGTERM");
  });
  const flags = { "--port": "0", "--offline": true, "--cache-dir": "/nowhere" };
  const { config } = loadConfig({ ...inputs, flags });
  await expect(runServer(context, config, 0)).rejects.toMatchObject({
    code: "interrupted",
    signal: "SIGTERM",
  });
  expect(handlers.size).toBe(0);
});
