/** A parent that dies leaves no child behind. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { makeRequest } from "../../src/engine/testing/requests.ts";
import { scriptedConfig, until } from "./host-harness.ts";
import { hasProc, isRunning } from "./processes.ts";

const host = fileURLToPath(new URL("../../dist/engine/host/engine-host.js", import.meta.url));

/** Starts a host in a process of its own, prints the children's ids and submits one request. */
function parentScript(promptToken: number): string {
  const request = makeRequest("r", [promptToken], { maxTokens: 1_000 });
  return `
    import { startEngineHost } from ${JSON.stringify(host)};
    const log = () => {};
    const host = await startEngineHost(${JSON.stringify(scriptedConfig)}, {
      maxQueue: 1, stepTimeoutMs: 600_000,
      logger: { debug: log, info: log, warn: log, error: log },
      scripted: { stepDelayMs: 10, hangOnToken: 200 },
    });
    host.submit(${JSON.stringify(request)}, () => {});
    setTimeout(() => console.log(JSON.stringify([host.enginePid, ...host.tokenizerPids])), 300);
  `;
}

test.skipIf(!hasProc).each([
  ["steps", 1],
  ["hangs in a step", 200],
])("while the engine %s", async (_, promptToken) => {
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", parentScript(promptToken)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pids = JSON.parse(line.toString()) as number[];
  expect(pids.filter(isRunning)).toHaveLength(2);
  parent.kill("SIGKILL");
  await until(() => !pids.some(isRunning));
});
