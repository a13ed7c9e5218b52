/**
 * The model store: `blobs/sha256-HEX` hold the files, `manifests/NAME.json` say which model consists of which, `blobs/partial`
 * holds what is on its way, `locks` and `uses` name the processes that fetch or serve. Several processes may use it at once, and it
 * may be read-only once the models are in it.
 */
import { randomUUID } from "node:crypto";
import { readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { InkstoneError } from "../errors.ts";
import { ensureDirectory, flushDirectory, toDiskError, writeFileAtomic } from "./disk.ts";
import { sha256OfFile } from "./hash.ts";
import { acquireLock, hold, lockHolder } from "./lock.ts";
import type { HeldLock, LockHolder, LockOptions } from "./lock.ts";
import { manifestDigest, manifestPath, readManifests } from "./manifest.ts";
import type { Manifest, StoredFile } from "./manifest.ts";
import { currentProcess } from "./process-identity.ts";
import type { StoredModel } from "./types.ts";

/** A file that is to become a blob; it is moved. */
export interface NewFile {
  readonly path: string;
  readonly name: string;
  /** In hexadecimal; the caller computed it from the very bytes. */
  readonly sha256: string;
}

/** A model to store. */
export interface NewModel {
  readonly name: string;
  readonly reference: string;
  readonly origin: string;
  readonly files: readonly (NewFile | StoredFile)[];
}

/** What `remove` and `prune` did. */
export interface Removal {
  readonly names: readonly string[];
  readonly freedBytes: number;
}

/** How much to check before a stored model is used: sizes and times, or every byte. */
export interface CheckOptions {
  readonly everyByte?: boolean;
  readonly signal?: AbortSignal;
  readonly onBytes?: (nBytes: number) => void;
}

/** The store in one directory. */
export interface ModelStore {
  readonly directory: string;
  /** The stored model of that name or reference; null where there is none. Its files were not looked at. */
  find(nameOrReference: string): Manifest | null;
  /** Paths of a model's files in order, or null where one is missing or damaged. */
  intactPaths(manifest: Manifest, options?: CheckOptions): Promise<string[] | null>;
  /** A stored file with that SHA-256 (hexadecimal), if a model has it and it has the right size. */
  findFile(sha256: string): StoredFile | null;
  list(): StoredModel[];
  /** Moves the files in and writes the manifest, replacing one of the same name. */
  add(model: NewModel): Promise<Manifest>;
  /** Removes by name, reference, or digest (six or more hexadecimal digits). Throws `model_unknown` or `model_in_use`. */
  remove(nameOrDigest: string): Promise<Removal>;
  /** Removes files that no model needs and nobody uses, and downloads that were broken off a week ago or earlier. */
  prune(): Promise<Removal>;
  /** Where the download named `key` is kept; the directory exists after this. Throws `cache_not_writable`. */
  partialPath(key: string): string;
  /** Locks the download named `key` against other processes. */
  lock(key: string, options?: LockOptions): Promise<HeldLock>;
  /** Marks files as used by this process until the returned function is called. Does nothing in a read-only store. */
  use(paths: readonly string[]): () => void;
}

/** A file written aside and not renamed for so long belongs to a process that is gone. */
const abandonedMs = 3_600_000;

/** A download that was broken off is kept for so long, so that it can go on where it stopped. */
const resumableMs = 7 * 24 * 3_600_000;

const useSchema = z.object({ digests: z.array(z.string()) });

/** The store in `directory`, which need not exist yet. `now` gives milliseconds since 1970. */
export function createModelStore(options: {
  readonly directory: string;
  readonly now?: () => number;
}): ModelStore {
  const { now = Date.now } = options;
  const directory = resolve(options.directory);
  const blobs = join(directory, "blobs");
  const partials = join(blobs, "partial");
  const manifests = join(directory, "manifests");
  const locks = join(directory, "locks");
  const uses = join(directory, "uses");

  const blobPath = (digest: string): string => join(blobs, digest.replace(":", "-"));
  const lockPath = (key: string): string => join(locks, `${key}.lock`);
  const all = (): Manifest[] => readManifests(manifests);

  const find = (text: string): Manifest | null => {
    const stored = all();
    return (
      stored.find((manifest) => manifest.name === text) ??
      stored.find((manifest) => manifest.reference === text) ??
      null
    );
  };

  const lock = async (key: string, lockOptions: LockOptions = {}): Promise<HeldLock> => {
    ensureDirectory(locks);
    return await acquireLock(lockPath(key), lockOptions);
  };

  const withStoreLock = async <T>(work: () => T): Promise<T> => {
    const held = await lock("store");
    try {
      return work();
    } finally {
      held.release();
    }
  };

  const intactPaths = async (manifest: Manifest, check: CheckOptions = {}): Promise<string[] | null> => {
    const { everyByte = false, signal, onBytes } = check;
    let files: StoredFile[] = [];
    let checkedBytes = 0;
    let touched = false;
    for (const file of manifest.files) {
      const path = blobPath(file.digest);
      const found = sizeAndTime(path);
      if (found === null || found.sizeBytes !== file.sizeBytes) return null;
      // Whole seconds, because archives and image layers keep no more of a file's time.
      const sameTime = Math.abs(found.modifiedAtMs - file.modifiedAtMs) < 2_000;
      if (everyByte || !sameTime) {
        const before = checkedBytes;
        const report = (nBytes: number): void => onBytes?.(before + nBytes);
        if (`sha256:${await sha256OfFile(path, { signal, onBytes: report })}` !== file.digest) return null;
      }
      if (!sameTime) touched = true;
      checkedBytes += file.sizeBytes;
      files = [...files, { ...file, modifiedAtMs: found.modifiedAtMs }];
    }
    if (touched) rememberTimes({ ...manifest, files });
    return manifest.files.map((file) => blobPath(file.digest));
  };

  const rememberTimes = (manifest: Manifest): void => {
    try {
      writeFileAtomic(manifestPath(manifests, manifest.name), JSON.stringify(manifest, null, 2));
    } catch {
      // A read-only store: the check is repeated at the next start, and nothing is wrong.
    }
  };

  const add = async (model: NewModel): Promise<Manifest> =>
    await withStoreLock(() => {
      ensureDirectory(manifests);
      ensureDirectory(blobs);
      const files = model.files.map((file): StoredFile => {
        if (!("path" in file)) return file;
        const digest = `sha256:${file.sha256}`;
        const target = blobPath(digest);
        try {
          renameSync(file.path, target);
        } catch (error) {
          throw toDiskError(error, target);
        }
        const { sizeBytes, modifiedAtMs } = sizeAndTime(target) ?? { sizeBytes: 0, modifiedAtMs: 0 };
        return { name: file.name, digest, sizeBytes, modifiedAtMs };
      });
      flushDirectory(blobs);
      const { name, reference, origin } = model;
      const manifest: Manifest = { manifestVersion: 1, name, reference, origin, storedAtMs: now(), files };
      writeFileAtomic(manifestPath(manifests, name), JSON.stringify(manifest, null, 2));
      return manifest;
    });

  const usersOf = (digests: readonly string[]): LockHolder[] =>
    listFiles(uses).flatMap((entry) => {
      const path = join(uses, entry);
      const holder = lockHolder(path);
      const parsed = useSchema.safeParse(readJson(path));
      if (holder === null || !parsed.success) return [];
      return parsed.data.digests.some((digest) => digests.includes(digest)) ? [holder] : [];
    });

  /** Removes a file if no manifest names it and nobody uses it; returns the bytes that are free now. */
  const removeFile = (digest: string, needed: ReadonlySet<string>): number => {
    if (needed.has(digest) || usersOf([digest]).length > 0) return 0;
    return removePath(blobPath(digest));
  };

  const neededDigests = (): Set<string> =>
    new Set(all().flatMap((manifest) => manifest.files.map((file) => file.digest)));

  const removeDeadUses = (): void => {
    for (const entry of listFiles(uses)) {
      const path = join(uses, entry);
      if (lockHolder(path) === null) rmSync(path, { force: true });
    }
  };

  const remove = async (nameOrDigest: string): Promise<Removal> => {
    if (matching(all(), nameOrDigest).length === 0) throw unknown(nameOrDigest, directory);
    return await withStoreLock(() => {
      const found = matching(all(), nameOrDigest);
      const digests = found.flatMap((manifest) => manifest.files.map((file) => file.digest));
      const [user] = usersOf(digests);
      if (user !== undefined) {
        throw new InkstoneError("model_in_use", `${nameOrDigest} is being served by process ${user.pid}.`);
      }
      for (const manifest of found) removePath(manifestPath(manifests, manifest.name));
      const needed = neededDigests();
      const freedBytes = [...new Set(digests)].reduce((sum, digest) => sum + removeFile(digest, needed), 0);
      return { names: found.map((manifest) => manifest.name), freedBytes };
    });
  };

  const prune = async (): Promise<Removal> => {
    if (sizeAndTime(directory) === null) return { names: [], freedBytes: 0 };
    return await withStoreLock(() => {
      let freedBytes = 0;
      const needed = neededDigests();
      for (const entry of listFiles(blobs)) {
        if (entry.startsWith("sha256-")) freedBytes += removeFile(entry.replace("-", ":"), needed);
      }
      for (const entry of listFiles(partials)) {
        const key = entry.split(".")[0] ?? entry;
        const path = join(partials, entry);
        if (ageMs(path) > resumableMs && lockHolder(lockPath(key)) === null) freedBytes += removePath(path);
      }
      for (const aside of [locks, manifests]) {
        for (const entry of listFiles(aside).filter((name) => name.endsWith(".tmp"))) {
          const path = join(aside, entry);
          if (ageMs(path) > abandonedMs) freedBytes += removePath(path);
        }
      }
      removeDeadUses();
      return { names: [], freedBytes };
    });
  };

  return {
    directory,
    find,
    intactPaths,
    findFile: (sha256) => {
      const files = all().flatMap((manifest) => manifest.files);
      const file = files.find((candidate) => candidate.digest === `sha256:${sha256}`);
      if (file === undefined) return null;
      return sizeAndTime(blobPath(file.digest))?.sizeBytes === file.sizeBytes ? file : null;
    },
    list: () =>
      all().map((manifest) => ({
        name: manifest.name,
        reference: manifest.reference,
        digest: manifestDigest(manifest),
        sizeBytes: manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0),
        modifiedAtMs: manifest.storedAtMs,
        paths: manifest.files.map((file) => blobPath(file.digest)),
      })),
    add,
    remove,
    prune,
    partialPath: (key) => {
      ensureDirectory(partials);
      return join(partials, key);
    },
    lock,
    use: (paths) => {
      const digests = paths
        .map((path) => resolve(path))
        .filter((path) => dirname(path) === blobs)
        .map((path) => basename(path).replace("-", ":"));
      if (digests.length === 0) return () => {};
      const token = randomUUID();
      const path = join(uses, `${token}.json`);
      try {
        ensureDirectory(uses);
        removeDeadUses();
        writeFileSync(path, JSON.stringify({ ...currentProcess(), token, digests }), { flag: "wx" });
      } catch {
        // Where nothing can be written, nothing can be removed either.
        return () => {};
      }
      const held = hold(path, token);
      return () => held.release();
    },
  };
}

function matching(stored: readonly Manifest[], nameOrDigest: string): Manifest[] {
  const named = stored.filter(({ name, reference }) => name === nameOrDigest || reference === nameOrDigest);
  if (named.length > 0) return named;
  const hexadecimal = nameOrDigest.replace(/^sha256[:-]/, "").toLowerCase();
  if (!/^[0-9a-f]{6,64}$/.test(hexadecimal)) return [];
  const found = stored.filter((manifest) => manifestDigest(manifest).startsWith(`sha256:${hexadecimal}`));
  const digests = new Set(found.map(manifestDigest));
  if (digests.size > 1) {
    const names = found.map((manifest) => manifest.name).join(", ");
    throw new InkstoneError(
      "model_unknown",
      `${nameOrDigest} could be any of ${names}: give more digits or a name.`,
    );
  }
  return found;
}

function unknown(nameOrDigest: string, directory: string): InkstoneError {
  return new InkstoneError("model_unknown", `${nameOrDigest} is not in the model store ${directory}.`);
}

/** Milliseconds since the file was written, by the clock that file times are of. */
function ageMs(path: string): number {
  return Date.now() - (sizeAndTime(path)?.modifiedAtMs ?? 0);
}

function sizeAndTime(path: string): { sizeBytes: number; modifiedAtMs: number } | null {
  try {
    const { size, mtimeMs } = statSync(path);
    return { sizeBytes: size, modifiedAtMs: mtimeMs };
  } catch {
    return null;
  }
}

function listFiles(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

/** Removes a file; returns its size. Throws `cache_not_writable`. */
function removePath(path: string): number {
  const sizeBytes = sizeAndTime(path)?.sizeBytes ?? 0;
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw toDiskError(error, path);
  }
  return sizeBytes;
}
