/** The API's collaborators for tests: a fake engine, a captured log, metrics of its own. */
import type { AppDeps, ServedModel } from "../../src/api/deps.ts";
import { createEngineRegistry } from "../../src/api/deps.ts";
import { parseApiKeys } from "../../src/api/keyring.ts";
import { defaultApiSettings } from "../../src/api/settings.ts";
import type { ApiSettings } from "../../src/api/settings.ts";
import { createLogger } from "../../src/observe/logger.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { createFakeEngine } from "./fake-engine.ts";
import type { FakeEngine, FakeEngineOptions } from "./fake-engine.ts";

export interface ApiFixtureOptions extends FakeEngineOptions {
  readonly settings?: Partial<ApiSettings>;
  /** Text of a key file; absent: no key is asked for. */
  readonly keys?: string;
  readonly isReady?: () => boolean;
}

export interface ApiFixture {
  readonly deps: AppDeps;
  readonly engine: FakeEngine;
  /** JSON lines of the log. */
  readonly log: string[];
}

/** One model named "fake-model", alias "alias", served at debug level. */
export function createApiFixture(options: ApiFixtureOptions = {}): ApiFixture {
  const engine = createFakeEngine(options);
  const log: string[] = [];
  const model: ServedModel = {
    name: "fake-model",
    aliases: ["alias"],
    client: engine,
    createdAtS: 1_700_000_000,
    ownedBy: "inkstone",
  };
  return {
    engine,
    log,
    deps: {
      engines: createEngineRegistry([model]),
      settings: { ...defaultApiSettings, version: "0.0.0", ...options.settings },
      keyring: options.keys === undefined ? null : parseApiKeys(options.keys, "keys"),
      logger: createLogger({
        level: "debug",
        format: "json",
        destination: { write: (line) => log.push(line) },
      }),
      metrics: createMetrics(),
      now: () => Date.now(),
      isReady: options.isReady ?? (() => true),
    },
  };
}
