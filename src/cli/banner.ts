/** What `serve` says when it is ready. */
import { isIPv6 } from "node:net";

import type { EngineInfo } from "../engine/types.ts";
import type { Palette } from "./terminal/colors.ts";
import { formatBytes, formatDuration } from "./terminal/format.ts";

export interface BannerFacts {
  readonly host: string;
  readonly port: number;
  readonly modelName: string;
  readonly needsKey: boolean;
  readonly info: EngineInfo;
  /** From the start of the command until requests are answered. */
  readonly readyMs: number;
}

/** The address that a client on this machine uses. */
export function localUrl(host: string, port: number): string {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  const address =
    bare === "0.0.0.0" ? "127.0.0.1" : bare === "::" ? "[::1]" : isIPv6(bare) ? `[${bare}]` : bare;
  return `http://${address}:${port}`;
}

/** How to use the server: address, model, a line to try. */
export function renderBanner(facts: BannerFacts, palette: Palette): string {
  const { host, port, modelName, needsKey, info, readyMs } = facts;
  const url = localUrl(host, port);
  const body = JSON.stringify({
    model: modelName,
    stream: true,
    messages: [{ role: "user", content: "Why is the sky blue?" }],
  });
  const key = needsKey ? " -H 'Authorization: Bearer YOUR_KEY'" : "";
  const rows: readonly (readonly [string, string])[] = [
    ["model", `${modelName} (${info.description}, ${formatBytes(info.sizeBytes)}, ${info.processor})`],
    ["context", `${info.contextWindow} tokens a request, ${info.maxNumSeqs} requests at once`],
    ["KV cache", `${info.kvTotalTokens} tokens, ${formatBytes(info.kvBytes)}, ${info.kvLayout}`],
    ["API", `${url}/v1`],
  ];
  const lines = rows.map(([name, value]) => `  ${palette.dim(name.padEnd(9))} ${value}`);
  return [
    `${palette.green("Ready")} after ${formatDuration(readyMs)}: ${palette.bold(url)}`,
    ...lines,
    "",
    `  curl -N ${url}/v1/chat/completions -H 'Content-Type: application/json'${key} -d '${body}'`,
    "",
    palette.dim("  Ctrl+C stops."),
    "",
  ].join("\n");
}
