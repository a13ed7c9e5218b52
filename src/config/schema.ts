/**
 * The one schema of all settings. The command line's flags, the environment's names, the file's keys, the checks, `inkstone
 * config` and docs/configuration.md are made from it.
 */
import { z } from "zod";

import type { SettingDoc } from "./setting-doc.ts";

const docs = z.registry<SettingDoc>();

const kvCacheTypes = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"] as const;

const oneOf = (values: readonly string[]): string => `one of ${values.join(", ")}`;

/** The description of a switch. */
const switchDoc = (doc: Omit<SettingDoc, "kind" | "allowed" | "placeholder">): SettingDoc => ({
  ...doc,
  kind: "boolean",
  allowed: "true or false",
  placeholder: "",
});
const atLeast = (least: number): string => `a whole number, at least ${least}`;
const orAuto = (least: number): string => `${atLeast(least)}, or auto`;

/** A whole number of at least `least`, or null for "auto". */
const optionalInteger = (least: number) => z.int().min(least).nullable().default(null);

export const configSchema = z.strictObject({
  // model
  model: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .register(docs, {
      group: "model",
      kind: "reference",
      doc: "The model to use: a name of `inkstone ls`, a path to a .gguf file, or a reference such as pypi:PACKAGE.",
      allowed: "a model name, a path to a .gguf file, or a reference",
      defaultMeaning: "smollm2-135m",
      placeholder: "MODEL",
      flags: ["-m"],
    }),
  servedModelName: z
    .array(z.string().min(1))
    .default([])
    .register(docs, {
      group: "server",
      kind: "list",
      doc: "Names under which the API offers the model; the first one is reported. May be given several times.",
      allowed: "one or more names",
      defaultMeaning: "the model's name",
      placeholder: "NAME",
      flags: ["--alias"],
    }),
  contextWindow: optionalInteger(0).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "Most tokens of one request, prompt and answer together; 0 for all that the model was trained for.",
    allowed: orAuto(0),
    defaultMeaning: "auto: the smaller of the model's own and 8192",
    placeholder: "N",
    aliases: ["max_model_len", "ctx_size", "num_ctx"],
    flags: ["-c", "--max-model-len", "--ctx-size"],
  }),
  // server
  host: z.string().min(1).default("127.0.0.1").register(docs, {
    group: "server",
    kind: "text",
    doc: "Address to listen on. Any other than this machine's own needs api_key_file or insecure.",
    allowed: "an IP address or a host name",
    placeholder: "ADDRESS",
  }),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(8080)
    .register(docs, {
      group: "server",
      kind: "integer",
      doc: "Port to listen on; 0 takes a free one.",
      allowed: "a whole number from 0 to 65535",
      placeholder: "N",
      flags: ["-p"],
    }),
  apiKeyFile: z.string().min(1).nullable().default(null).register(docs, {
    group: "server",
    kind: "path",
    doc: "File with the API keys that are accepted, one a line.",
    allowed: "a path",
    defaultMeaning: "no key is asked for",
    placeholder: "FILE",
  }),
  insecure: z
    .boolean()
    .default(false)
    .register(
      docs,
      switchDoc({
        group: "server",
        doc: "Listen on other than this machine's own addresses without API keys.",
      }),
    ),
  corsOrigins: z.array(z.string().min(1)).default([]).register(docs, {
    group: "server",
    kind: "list",
    doc: "Web origins whose pages may call the API; * for any. May be given several times.",
    allowed: "one or more origins such as https://example.org, or *",
    defaultMeaning: "none",
    placeholder: "ORIGIN",
  }),
  maxBodyBytes: z
    .int()
    .min(1024)
    .default(64 * 1024 * 1024)
    .register(docs, {
      group: "server",
      kind: "bytes",
      doc: "Largest request body; units such as 16MiB are read.",
      allowed: "bytes, at least 1024, with or without a unit such as KiB, MiB, GiB",
      placeholder: "BYTES",
    }),
  requestTimeoutMs: z.int().min(1).max(2_147_483_647).default(60_000).register(docs, {
    group: "server",
    kind: "integer",
    doc: "Most milliseconds for a client to send its whole request.",
    allowed: "a whole number from 1 to 2147483647",
    placeholder: "MS",
  }),
  drainSeconds: z.int().min(0).max(86_400).default(30).register(docs, {
    group: "server",
    kind: "integer",
    doc: "How long a stopping server lets running requests end.",
    allowed: "a whole number from 0 to 86400",
    placeholder: "S",
  }),
  maxQueue: z
    .int()
    .min(1)
    .default(1024)
    .register(docs, {
      group: "server",
      kind: "integer",
      doc: "Most requests that wait; further ones are answered with 429.",
      allowed: atLeast(1),
      placeholder: "N",
    }),
  shareCacheAcrossKeys: z
    .boolean()
    .default(false)
    .register(
      docs,
      switchDoc({
        group: "server",
        doc: "Let requests of different API keys reuse each other's prefixes (reuse can be observed by its timing).",
      }),
    ),
  // engine
  maxNumSeqs: z
    .int()
    .min(1)
    .max(255)
    .default(32)
    .register(docs, {
      group: "engine",
      kind: "integer",
      doc: "Most requests that are computed at once.",
      allowed: "a whole number from 1 to 255",
      placeholder: "N",
      aliases: ["batch_size"],
      flags: ["--parallel"],
    }),
  maxNumBatchedTokens: optionalInteger(1).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "Most tokens of one step, prompts and answers together.",
    allowed: orAuto(1),
    defaultMeaning: "auto: 512",
    placeholder: "N",
  }),
  maxWaitMs: z.int().min(0).max(60_000).default(0).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "How long an idle engine waits for more requests before its first step; a busy one never waits.",
    allowed: "a whole number from 0 to 60000",
    placeholder: "MS",
  }),
  dynamicPadding: z
    .boolean()
    .default(true)
    .register(
      docs,
      switchDoc({
        group: "engine",
        doc: "Accepted for other tools' configurations: batches are ragged, so nothing is ever padded.",
        offDoc: "Accepted for other tools' scripts; has no effect.",
      }),
    ),
  kvCacheTokens: optionalInteger(1).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "Cells of the KV cache, one for each token that is held.",
    allowed: orAuto(1),
    defaultMeaning: "auto: from the memory at hand",
    placeholder: "N",
  }),
  kvLayout: z
    .enum(["auto", "unified", "streams"])
    .default("auto")
    .register(docs, {
      group: "engine",
      kind: "text",
      doc: "One KV cache for all requests, or one for each; auto follows a measured rule.",
      allowed: oneOf(["auto", "unified", "streams"]),
      placeholder: "LAYOUT",
    }),
  cacheTypeK: z
    .enum(kvCacheTypes)
    .default("f16")
    .register(docs, {
      group: "engine",
      kind: "text",
      doc: "Number format of the cached keys.",
      allowed: oneOf(kvCacheTypes),
      placeholder: "TYPE",
      flags: ["-ctk"],
    }),
  cacheTypeV: z
    .enum(kvCacheTypes)
    .default("f16")
    .register(docs, {
      group: "engine",
      kind: "text",
      doc: "Number format of the cached values.",
      allowed: oneOf(kvCacheTypes),
      placeholder: "TYPE",
      flags: ["-ctv"],
    }),
  flashAttn: z
    .enum(["auto", "on", "off"])
    .default("auto")
    .register(docs, {
      group: "engine",
      kind: "text",
      doc: "Flash attention; auto follows a measured rule.",
      allowed: oneOf(["auto", "on", "off"]),
      placeholder: "MODE",
      flags: ["-fa"],
    }),
  threads: optionalInteger(1).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "Threads that compute answers.",
    allowed: orAuto(1),
    defaultMeaning: "auto: one for each physical core",
    placeholder: "N",
    flags: ["-t"],
  }),
  threadsBatch: optionalInteger(1).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "Threads that compute prompts.",
    allowed: orAuto(1),
    defaultMeaning: "auto: as many as threads",
    placeholder: "N",
    flags: ["-tb"],
  }),
  gpuLayers: z
    .int()
    .min(-1)
    .default(-1)
    .register(docs, {
      group: "engine",
      kind: "integer",
      doc: "Layers to put on the GPU; -1 for all that fit.",
      allowed: atLeast(-1),
      placeholder: "N",
      aliases: ["n_gpu_layers"],
      flags: ["-ngl", "--n-gpu-layers"],
    }),
  splitMode: z
    .enum(["none", "layer", "row", "tensor"])
    .default("layer")
    .register(docs, {
      group: "engine",
      kind: "text",
      doc: "How a model is split over several GPUs.",
      allowed: oneOf(["none", "layer", "row", "tensor"]),
      placeholder: "MODE",
      flags: ["-sm"],
    }),
  tensorSplit: z
    .array(z.number().min(0))
    .default([])
    .register(docs, {
      group: "engine",
      kind: "numbers",
      doc: "Share of the model for each GPU, such as 3,1.",
      allowed: "numbers of at least 0, separated by commas",
      defaultMeaning: "by free memory",
      placeholder: "N,N",
      flags: ["-ts"],
    }),
  mainGpu: z
    .int()
    .min(0)
    .default(0)
    .register(docs, {
      group: "engine",
      kind: "integer",
      doc: "The GPU that is used when the model is not split.",
      allowed: atLeast(0),
      placeholder: "N",
      flags: ["-mg"],
    }),
  device: z
    .array(z.string().min(1))
    .default([])
    .register(docs, {
      group: "engine",
      kind: "list",
      doc: "Devices to use, by the names that `inkstone doctor` shows. May be given several times.",
      allowed: "one or more device names",
      defaultMeaning: "all",
      placeholder: "NAME",
      flags: ["-dev"],
    }),
  mmap: z
    .boolean()
    .default(true)
    .register(
      docs,
      switchDoc({
        group: "engine",
        doc: "Map the model's file into memory instead of reading it.",
        offDoc: "Read the model's file into memory instead of mapping it.",
      }),
    ),
  mlock: z
    .boolean()
    .default(false)
    .register(
      docs,
      switchDoc({
        group: "engine",
        doc: "Keep the model in memory: never swap it out.",
      }),
    ),
  prefixCache: z
    .boolean()
    .default(true)
    .register(
      docs,
      switchDoc({
        group: "engine",
        doc: "Keep what was computed, and reuse it for requests that begin alike.",
        offDoc: "Compute every prompt anew, also where an earlier one began alike.",
        aliases: ["enable_prefix_caching"],
        flags: ["--enable-prefix-caching"],
      }),
    ),
  stepTimeoutMs: z.int().min(1000).max(2_147_483_647).default(120_000).register(docs, {
    group: "engine",
    kind: "integer",
    doc: "An engine whose step takes longer is taken for stuck and started again.",
    allowed: "a whole number from 1000 to 2147483647",
    placeholder: "MS",
  }),
  nativeDirectory: z.string().min(1).nullable().default(null).register(docs, {
    group: "engine",
    kind: "path",
    doc: "Directory of the native libraries, such as one that `inkstone doctor --build-native` made.",
    allowed: "a path",
    defaultMeaning: "the installed platform package",
    placeholder: "DIR",
  }),
  // store
  cacheDir: z.string().min(1).nullable().default(null).register(docs, {
    group: "store",
    kind: "path",
    doc: "Directory that models are kept in.",
    allowed: "a path",
    defaultMeaning: "$XDG_CACHE_HOME/inkstone or ~/.cache/inkstone; ~/Library/Caches/inkstone on macOS",
    placeholder: "DIR",
  }),
  offline: z
    .boolean()
    .default(false)
    .register(
      docs,
      switchDoc({
        group: "store",
        doc: "Never use the network to fetch models.",
      }),
    ),
  // log
  logLevel: z
    .enum(["trace", "debug", "info", "warn", "error", "silent"])
    .default("info")
    .register(docs, {
      group: "log",
      kind: "text",
      doc: "Least severity that is logged; debug also shows the stack of a failure.",
      allowed: oneOf(["trace", "debug", "info", "warn", "error", "silent"]),
      placeholder: "LEVEL",
    }),
  logFormat: z
    .enum(["auto", "json", "text"])
    .default("auto")
    .register(docs, {
      group: "log",
      kind: "text",
      doc: "Form of the log on standard error; auto is text on a terminal and JSON elsewhere.",
      allowed: oneOf(["auto", "json", "text"]),
      placeholder: "FORMAT",
    }),
});

type ParsedConfig = z.output<typeof configSchema>;

/** All settings after load: frozen. `cacheDir` has its platform's default filled in. */
export type Config = Readonly<Omit<ParsedConfig, "cacheDir"> & { cacheDir: string }>;

export type ConfigKey = keyof ParsedConfig;

/** The keys in the order of the documentation. */
export const configKeys = Object.keys(configSchema.shape) as readonly ConfigKey[];

/** The default of every setting. */
export const configDefaults: Readonly<ParsedConfig> = configSchema.parse({});

/** What is known of a setting. */
export function settingDoc(key: ConfigKey): SettingDoc {
  const doc = docs.get(configSchema.shape[key]);
  if (doc === undefined) throw new Error(`setting ${key} has no description`);
  return doc;
}
