/**
 * The one schema of all settings. The command line's flags, the environment's names, the file's keys, the checks, `inkstone
 * config` and docs/configuration.md are made from it.
 */
import { z } from "zod";

import type { SettingDoc } from "./setting-doc.ts";
import {
  choice,
  integer,
  list,
  optionalInteger,
  optionalPath,
  settingDocs,
  toggle,
} from "./setting-kinds.ts";

const kvCacheTypes = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"] as const;

export const configSchema = z.strictObject({
  // model
  model: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .register(settingDocs, {
      group: "model",
      kind: "reference",
      doc: "The model to use: a name of `inkstone ls`, a path to a .gguf file, or a reference such as pypi:PACKAGE.",
      allowed: "a model name, a path to a .gguf file, or a reference",
      defaultMeaning: "smollm2-135m",
      placeholder: "MODEL",
      flags: ["-m"],
    }),
  servedModelName: list({
    group: "server",
    doc: "Names under which the API offers the model; the first one is reported. May be given several times.",
    allowed: "one or more names",
    defaultMeaning: "the model's name",
    placeholder: "NAME",
    flags: ["--alias"],
  }),
  contextWindow: optionalInteger(0, {
    group: "engine",
    doc: "Most tokens of one request, prompt and answer together; 0 for all that the model was trained for.",
    defaultMeaning: "auto: the smaller of the model's own and 8192",
    placeholder: "N",
    aliases: ["max_model_len", "ctx_size", "num_ctx"],
    flags: ["-c", "--max-model-len", "--ctx-size"],
  }),
  // server
  host: z.string().min(1).default("127.0.0.1").register(settingDocs, {
    group: "server",
    kind: "text",
    doc: "Address to listen on. Any other than this machine's own needs api_key_file or insecure.",
    allowed: "an IP address or a host name",
    placeholder: "ADDRESS",
  }),
  port: integer(
    { least: 0, largest: 65_535, fallback: 8080 },
    { group: "server", doc: "Port to listen on; 0 takes a free one.", placeholder: "N", flags: ["-p"] },
  ),
  apiKeyFile: optionalPath({
    group: "server",
    doc: "File with the API keys that are accepted, one a line.",
    defaultMeaning: "no key is asked for",
    placeholder: "FILE",
  }),
  insecure: toggle(false, {
    group: "server",
    doc: "Listen on other than this machine's own addresses without API keys.",
  }),
  corsOrigins: list({
    group: "server",
    doc: "Web origins whose pages may call the API; * for any. May be given several times.",
    allowed: "one or more origins such as https://example.org, or *",
    defaultMeaning: "none",
    placeholder: "ORIGIN",
  }),
  maxBodyBytes: z
    .int()
    .min(1024)
    .default(64 * 1024 * 1024)
    .register(settingDocs, {
      group: "server",
      kind: "bytes",
      doc: "Largest request body; units such as 16MiB are read.",
      allowed: "bytes, at least 1024, with or without a unit such as KiB, MiB, GiB",
      placeholder: "BYTES",
    }),
  requestTimeoutMs: integer(
    { least: 1, largest: 2_147_483_647, fallback: 60_000 },
    { group: "server", doc: "Most milliseconds for a client to send its whole request.", placeholder: "MS" },
  ),
  drainSeconds: integer(
    { least: 0, largest: 86_400, fallback: 30 },
    { group: "server", doc: "How long a stopping server lets running requests end.", placeholder: "S" },
  ),
  maxQueue: integer(
    { least: 1, fallback: 1024 },
    {
      group: "server",
      doc: "Most requests that wait; further ones are answered with 429.",
      placeholder: "N",
    },
  ),
  shareCacheAcrossKeys: toggle(false, {
    group: "server",
    doc: "Let requests of different API keys reuse each other's prefixes (reuse can be observed by its timing).",
  }),
  // engine
  maxNumSeqs: integer(
    { least: 1, largest: 255, fallback: 32 },
    {
      group: "engine",
      doc: "Most requests that are computed at once.",
      placeholder: "N",
      aliases: ["batch_size"],
      flags: ["--parallel"],
    },
  ),
  maxNumBatchedTokens: optionalInteger(1, {
    group: "engine",
    doc: "Most tokens of one step, prompts and answers together.",
    defaultMeaning: "auto: 512",
    placeholder: "N",
  }),
  maxWaitMs: integer(
    { least: 0, largest: 60_000, fallback: 0 },
    {
      group: "engine",
      doc: "How long an idle engine waits for more requests before its first step; a busy one never waits.",
      placeholder: "MS",
    },
  ),
  dynamicPadding: toggle(true, {
    group: "engine",
    doc: "Accepted for other tools' configurations: batches are ragged, so nothing is ever padded.",
    offDoc: "Accepted for other tools' scripts; has no effect.",
  }),
  kvCacheTokens: optionalInteger(1, {
    group: "engine",
    doc: "Cells of the KV cache, one for each token that is held.",
    defaultMeaning: "auto: from the memory at hand",
    placeholder: "N",
  }),
  kvLayout: choice(["auto", "unified", "streams"], "auto", {
    group: "engine",
    doc: "One KV cache for all requests, or one for each; auto follows a measured rule.",
    placeholder: "LAYOUT",
  }),
  cacheTypeK: choice(kvCacheTypes, "f16", {
    group: "engine",
    doc: "Number format of the cached keys.",
    placeholder: "TYPE",
    flags: ["-ctk"],
  }),
  cacheTypeV: choice(kvCacheTypes, "f16", {
    group: "engine",
    doc: "Number format of the cached values.",
    placeholder: "TYPE",
    flags: ["-ctv"],
  }),
  flashAttn: choice(["auto", "on", "off"], "auto", {
    group: "engine",
    doc: "Flash attention; auto follows a measured rule.",
    placeholder: "MODE",
    flags: ["-fa"],
  }),
  threads: optionalInteger(1, {
    group: "engine",
    doc: "Threads that compute answers.",
    defaultMeaning: "auto: one for each physical core",
    placeholder: "N",
    flags: ["-t"],
  }),
  threadsBatch: optionalInteger(1, {
    group: "engine",
    doc: "Threads that compute prompts.",
    defaultMeaning: "auto: as many as threads",
    placeholder: "N",
    flags: ["-tb"],
  }),
  gpuLayers: integer(
    { least: -1, fallback: -1 },
    {
      group: "engine",
      doc: "Layers to put on the GPU; -1 for all that fit.",
      placeholder: "N",
      aliases: ["n_gpu_layers"],
      flags: ["-ngl", "--n-gpu-layers"],
    },
  ),
  splitMode: choice(["none", "layer", "row", "tensor"], "layer", {
    group: "engine",
    doc: "How a model is split over several GPUs.",
    placeholder: "MODE",
    flags: ["-sm"],
  }),
  tensorSplit: z
    .array(z.number().min(0))
    .default([])
    .register(settingDocs, {
      group: "engine",
      kind: "numbers",
      doc: "Share of the model for each GPU, such as 3,1.",
      allowed: "numbers of at least 0, separated by commas",
      defaultMeaning: "by free memory",
      placeholder: "N,N",
      flags: ["-ts"],
    }),
  mainGpu: integer(
    { least: 0, fallback: 0 },
    {
      group: "engine",
      doc: "The GPU that is used when the model is not split.",
      placeholder: "N",
      flags: ["-mg"],
    },
  ),
  device: list({
    group: "engine",
    doc: "Devices to use, by the names that `inkstone doctor` shows. May be given several times.",
    allowed: "one or more device names",
    defaultMeaning: "all",
    placeholder: "NAME",
    flags: ["-dev"],
  }),
  mmap: toggle(true, {
    group: "engine",
    doc: "Map the model's file into memory instead of reading it.",
    offDoc: "Read the model's file into memory instead of mapping it.",
  }),
  mlock: toggle(false, { group: "engine", doc: "Keep the model in memory: never swap it out." }),
  prefixCache: toggle(true, {
    group: "engine",
    doc: "Keep what was computed, and reuse it for requests that begin alike.",
    offDoc: "Compute every prompt anew, also where an earlier one began alike.",
    aliases: ["enable_prefix_caching"],
    flags: ["--enable-prefix-caching"],
  }),
  stepTimeoutMs: integer(
    { least: 1000, largest: 2_147_483_647, fallback: 120_000 },
    {
      group: "engine",
      doc: "An engine whose step takes longer is taken for stuck and started again.",
      placeholder: "MS",
    },
  ),
  nativeDirectory: optionalPath({
    group: "engine",
    doc: "Directory of the native libraries, such as one that `inkstone doctor --build-native` made.",
    defaultMeaning: "the installed platform package",
    placeholder: "DIR",
  }),
  // store
  cacheDir: optionalPath({
    group: "store",
    doc: "Directory that models are kept in.",
    defaultMeaning: "$XDG_CACHE_HOME/inkstone or ~/.cache/inkstone; ~/Library/Caches/inkstone on macOS",
    placeholder: "DIR",
  }),
  offline: toggle(false, { group: "store", doc: "Never use the network to fetch models." }),
  // log
  logLevel: choice(["trace", "debug", "info", "warn", "error", "silent"], "info", {
    group: "log",
    doc: "Least severity that is logged; debug also shows the stack of a failure.",
    placeholder: "LEVEL",
  }),
  logFormat: choice(["auto", "json", "text"], "auto", {
    group: "log",
    doc: "Form of the log on standard error; auto is text on a terminal and JSON elsewhere.",
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
  const doc = settingDocs.get(configSchema.shape[key]);
  if (doc === undefined) throw new Error(`setting ${key} has no description`);
  return doc;
}
