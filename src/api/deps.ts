/** What the API is given from outside, and what its requests carry. */
import type { HttpBindings } from "@hono/node-server";
import type { EngineClient } from "../engine/client.ts";
import type { Logger } from "../observe/logger.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ApiKey, ApiKeyring } from "./keyring.ts";
import type { RequestRecord } from "./request-record.ts";
import type { ApiSettings } from "./settings.ts";

/** A model that is offered under a name. */
export interface ServedModel {
  /** The name that answers carry. */
  readonly name: string;
  /** Further names that requests may use. */
  readonly aliases: readonly string[];
  readonly client: EngineClient;
  /** Unix time in seconds; `created` of GET /v1/models. */
  readonly createdAtS: number;
  readonly ownedBy: string;
}

/** The models that this server offers. */
export interface EngineRegistry {
  /** In the order of GET /v1/models; the first one answers requests that name no model. */
  list(): readonly ServedModel[];
  /** By name or alias. */
  get(name: string): ServedModel | undefined;
}

export interface AppDeps {
  readonly engines: EngineRegistry;
  readonly settings: ApiSettings;
  /** null: no key is asked for. */
  readonly keyring: ApiKeyring | null;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** False while models load and while the server drains. */
  readonly isReady: () => boolean;
}

/** Hono's types for this application. The bindings are absent when a test calls `app.request`. */
export interface AppEnv {
  Bindings: Partial<HttpBindings>;
  Variables: {
    requestId: string;
    /** null where no key is asked for. */
    apiKey: ApiKey | null;
    record: RequestRecord;
  };
}

/** A registry over a fixed list. A name that two models use belongs to the first. */
export function createEngineRegistry(models: readonly ServedModel[]): EngineRegistry {
  const byName = new Map<string, ServedModel>();
  for (const model of models) {
    for (const name of [model.name, ...model.aliases]) if (!byName.has(name)) byName.set(name, model);
  }
  return { list: () => models, get: (name) => byName.get(name) };
}
