/** What was measured on what. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

import type { Setting } from "./contenders.ts";

const root = new URL("../../../", import.meta.url);

export interface Environment {
  readonly date: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Load average of the last minute before the run. */
  readonly loadBefore: number;
  readonly node: string;
  readonly inkstone: string;
  readonly commit: string;
  readonly platformPackage: string;
  readonly llamaServer: string;
  readonly model: string;
  readonly modelBytes: number;
  readonly modelSha256: string;
  readonly threads: number;
}

interface PackageJson {
  readonly version: string;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

/** What a program writes, to either stream; some print their version to standard error. */
function output(program: string, args: readonly string[]): string {
  const { stdout, stderr, status } = spawnSync(program, args, { encoding: "utf8", cwd: fileURLToPath(root) });
  return status === 0 ? `${stdout}${stderr}`.trim() : "unknown";
}

export function describeEnvironment(setting: Setting): Environment {
  const { version, optionalDependencies } = JSON.parse(
    readFileSync(new URL("package.json", root), "utf8"),
  ) as PackageJson;
  const platform = `@node-llama-cpp/${process.platform}-${process.arch}`;
  const serverVersion = output(`${setting.peersBin}/llama-server`, ["--version"]);
  return {
    date: new Date().toISOString(),
    processor: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: `${process.platform} ${release()}`,
    loadBefore: loadavg()[0] ?? Number.NaN,
    node: process.version,
    inkstone: version,
    commit: output("git", ["describe", "--always", "--dirty"]),
    platformPackage: `${platform}@${optionalDependencies[platform] ?? "none"}`,
    llamaServer: /version: (.*)/.exec(serverVersion)?.[1] ?? "unknown",
    model: basename(setting.model),
    modelBytes: statSync(setting.model).size,
    modelSha256: createHash("sha256").update(readFileSync(setting.model)).digest("hex"),
    threads: setting.threads,
  };
}
