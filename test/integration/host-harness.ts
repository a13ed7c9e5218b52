/** Hosts with scripted children, for tests of the processes. The children run from dist/. */
import { afterEach } from "vitest";

import { startEngineHost } from "../../src/engine/host/engine-host.ts";
import type { EngineHost, EngineHostOptions, HostLogger } from "../../src/engine/host/engine-host.ts";
import type { EngineConfig, EngineRequest, RequestUpdate, TokenId } from "../../src/engine/types.ts";

export interface LoggedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly facts: object;
  readonly message: string;
}

export const scriptedConfig: EngineConfig = {
  modelKey: "scripted",
  modelPaths: [],
  contextWindow: 2_048,
  maxNumSeqs: 32,
  maxNumBatchedTokens: 512,
  maxWaitMs: 0,
  kvCacheTokens: 16_384,
  kvLayout: "unified",
  cacheTypeK: "f16",
  cacheTypeV: "f16",
  flashAttn: "auto",
  threads: null,
  threadsBatch: null,
  gpuLayers: -1,
  splitMode: "layer",
  tensorSplit: [],
  mainGpu: 0,
  devices: [],
  mmap: true,
  mlock: false,
  prefixCache: true,
  nativeDirectory: null,
  executor: "scripted",
};

const open: EngineHost[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((host) => host.close(0)));
});

/** A logger that keeps its lines. */
export function keepLog(): { logger: HostLogger; lines: LoggedLine[] } {
  const lines: LoggedLine[] = [];
  const keep =
    (level: LoggedLine["level"]) =>
    (facts: object, message: string): void => {
      lines.push({ level, facts, message });
    };
  return {
    lines,
    logger: { debug: keep("debug"), info: keep("info"), warn: keep("warn"), error: keep("error") },
  };
}

/** Starts a host that is closed after the test. */
export async function startHost(
  options: Partial<EngineHostOptions> = {},
  config: Partial<EngineConfig> = {},
): Promise<{ host: EngineHost; lines: LoggedLine[] }> {
  const { logger, lines } = keepLog();
  const host = await startEngineHost(
    { ...scriptedConfig, ...config },
    { maxQueue: 64, stepTimeoutMs: 30_000, logger, ...options },
  );
  open.push(host);
  return { host, lines };
}

/** A submitted request and what came of it. */
export interface Stream {
  readonly tokens: TokenId[];
  readonly updates: RequestUpdate[];
  /** The last update. */
  readonly ended: Promise<RequestUpdate>;
  /** Resolves when as many tokens have come. */
  reached(nTokens: number): Promise<void>;
}

export function openStream(host: EngineHost, request: EngineRequest): Stream {
  const tokens: TokenId[] = [];
  const updates: RequestUpdate[] = [];
  const waiting: { nTokens: number; resolve: () => void }[] = [];
  const ended = new Promise<RequestUpdate>((resolve) => {
    host.submit(request, (update) => {
      updates.push(update);
      tokens.push(...update.tokens.map(({ token }) => token));
      for (const { nTokens, resolve: reached } of waiting) if (tokens.length >= nTokens) reached();
      if (update.finish !== undefined) resolve(update);
    });
  });
  return {
    tokens,
    updates,
    ended,
    reached: async (nTokens) =>
      new Promise((resolve) => {
        if (tokens.length >= nTokens) resolve();
        else waiting.push({ nTokens, resolve });
      }),
  };
}

/** Resolves when the condition holds. Fails by the test's own timeout. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}
