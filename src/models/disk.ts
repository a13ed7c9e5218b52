/** Writing into the cache directory: atomic, checked for space beforehand, with errors that name the directory. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import { InkstoneError } from "../errors.ts";

const notWritable = new Set([
  "EROFS",
  "EACCES",
  "EPERM",
  "ENOTDIR",
  "EEXIST",
  "EISDIR",
  "ENOENT",
  "EIO",
  "EFBIG",
]);
const full = new Set(["ENOSPC", "EDQUOT"]);

/** Bytes that this user can still write beside `path`, which need not exist yet; null where the system does not say. */
export function freeBytes(path: string): number | null {
  let directory = path;
  while (!existsSync(directory) && dirname(directory) !== directory) directory = dirname(directory);
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    return null;
  }
}

/** Throws `disk_full`, naming both numbers, unless `neededBytes` fit beside `path`. */
export function requireSpace(path: string, neededBytes: number): void {
  const free = freeBytes(path);
  if (free !== null && free < neededBytes) throw diskFull(path, neededBytes);
}

/** `error`, thrown when writing at `path`, as an error of the table; `neededBytes` are those still to be written. */
export function toDiskError(error: unknown, path: string, neededBytes: number | null = null): unknown {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (error instanceof InkstoneError || code === undefined) return error;
  if (full.has(code)) return diskFull(path, neededBytes, error);
  if (notWritable.has(code)) {
    const reason = code === "EROFS" ? "its file system is read-only" : code;
    return new InkstoneError("cache_not_writable", `Cannot write to ${path}: ${reason}.`, { cause: error });
  }
  return error;
}

/** Creates a directory and its parents. Throws `cache_not_writable` or `disk_full`. */
export function ensureDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw toDiskError(error, path);
  }
}

/** Writes a whole file or nothing: aside, flushed, then renamed. Throws `cache_not_writable` or `disk_full`. */
export function writeFileAtomic(path: string, text: string): void {
  const aside = `${path}.${randomUUID()}.tmp`;
  try {
    const fd = openSync(aside, "wx");
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw toDiskError(error, path, Buffer.byteLength(text));
  }
  flushDirectory(dirname(path));
}

/** Makes renames in a directory last through a power failure, where the system can. */
export function flushDirectory(path: string): void {
  try {
    const fd = openSync(path, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Windows and some network file systems have no such call; the rename is atomic all the same.
  }
}

function diskFull(path: string, neededBytes: number | null, cause?: unknown): InkstoneError {
  const free = freeBytes(path);
  const needed = neededBytes === null ? "" : `${neededBytes} bytes are needed`;
  const left = free === null ? "" : `${free} bytes are free`;
  const numbers = [needed, left].filter((part) => part !== "").join(", ");
  return new InkstoneError("disk_full", `The disk of ${path} is full: ${numbers}.`, { cause });
}
