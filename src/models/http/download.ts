/** One file over HTTP: resumed, retried, counted and checked. */
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { open, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { InkstoneError } from "../../errors.ts";
import { requireSpace, toDiskError } from "../disk.ts";
import { hashInto } from "../hash.ts";
import { createProgressMeter } from "../progress.ts";
import type { FetchProgress, ModelsLogger } from "../types.ts";
import { discard, toNetworkFault } from "./client.ts";
import type { HttpAnswer, HttpClient } from "./client.ts";
import { TransientError, throwIfAborted, withRetries } from "./retry.ts";
import type { Sleep } from "./retry.ts";

/** What to fetch, and where to. */
export interface DownloadOptions {
  readonly http: HttpClient;
  readonly url: string;
  /** Where the bytes go; what is there is taken for the beginning of the file when `sha256` is known. */
  readonly path: string;
  /** For messages and progress. */
  readonly label: string;
  /** In hexadecimal; null where the server does not say, which also rules out resuming. */
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
  readonly retries: number;
  readonly sleep: Sleep;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FetchProgress) => void;
  readonly logger?: ModelsLogger;
}

interface PartialFile {
  readonly file: FileHandle;
  hash: Hash;
  receivedBytes: number;
  /** The most that ever arrived: only going beyond it counts as progress. */
  farthestBytes: number;
}

/**
 * Fetches a file whole to `path`. Throws `download_failed`, `checksum_mismatch` (the file is removed then), `disk_full`
 * (removed, too), `cache_not_writable` or `interrupted` (what arrived stays, for the next time).
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { label, path } = options;
  for (let nMismatches = 0; ; nMismatches += 1) {
    const digest = await fetchWhole(options);
    if (options.sha256 === null || digest === options.sha256) return;
    await rm(path, { force: true });
    if (nMismatches > 0) {
      throw new InkstoneError(
        "checksum_mismatch",
        `${label} has the SHA-256 ${digest}, but the index names ${options.sha256}.`,
      );
    }
    // A file that was resumed may have begun with another's bytes; it gets one more chance, from its first byte.
    options.logger?.warn({ label }, "checksum mismatch; fetching from the beginning");
  }
}

async function fetchWhole(options: DownloadOptions): Promise<string> {
  const { label, path, sizeBytes, signal, logger } = options;
  const partial = await openPartial(options);
  try {
    if (sizeBytes !== null) requireSpace(path, sizeBytes - partial.receivedBytes);
    if (sizeBytes === null || partial.receivedBytes < sizeBytes) {
      let farthestBytes = partial.receivedBytes;
      const { retries, sleep } = options;
      const onRetry = (fault: TransientError, waitMs: number): void =>
        logger?.warn(
          { label, fault: fault.message, waitMs: Math.round(waitMs) },
          "download fault; trying again",
        );
      await withRetries(
        { what: label, retries, sleep, signal, onRetry },
        async () => await fetchRest(options, partial),
        () => {
          const progressed = partial.farthestBytes > farthestBytes;
          farthestBytes = partial.farthestBytes;
          return progressed;
        },
      );
    }
    return partial.hash.digest("hex");
  } catch (error) {
    const failure = toDiskError(error, path, sizeBytes === null ? null : sizeBytes - partial.receivedBytes);
    if (failure instanceof InkstoneError && failure.code === "disk_full") await rm(path, { force: true });
    throw failure;
  } finally {
    await partial.file.close();
  }
}

async function openPartial(options: DownloadOptions): Promise<PartialFile> {
  const { path, sha256, sizeBytes, label, signal, onProgress, now } = options;
  const existing = await stat(path).catch(() => null);
  const usable =
    existing !== null && sha256 !== null && existing.size > 0 && existing.size <= (sizeBytes ?? Infinity);
  const hash = createHash("sha256");
  try {
    if (usable) {
      const meter = createProgressMeter({
        label,
        totalBytes: existing.size,
        phase: "verify",
        onProgress,
        now,
      });
      await hashInto(hash, path, { signal, onBytes: meter.update });
    }
    const receivedBytes = usable ? existing.size : 0;
    return { file: await open(path, usable ? "r+" : "w"), hash, receivedBytes, farthestBytes: receivedBytes };
  } catch (error) {
    throw toDiskError(error, path);
  }
}

async function restart(partial: PartialFile): Promise<void> {
  await partial.file.truncate(0);
  partial.hash = createHash("sha256");
  partial.receivedBytes = 0;
}

async function fetchRest(options: DownloadOptions, partial: PartialFile): Promise<void> {
  const { http, url, label, sha256, signal, onProgress, now } = options;
  if (partial.receivedBytes > 0 && sha256 === null) await restart(partial);
  const headers: Record<string, string> = { accept: "*/*", "accept-encoding": "identity" };
  if (partial.receivedBytes > 0) headers["range"] = `bytes=${partial.receivedBytes}-`;
  const answer = await http.get(url, { headers, signal });
  const totalBytes = await checkAnswer(answer, options, partial);

  const meter = createProgressMeter({
    label,
    totalBytes,
    phase: "download",
    onProgress,
    now,
    initialBytes: partial.receivedBytes,
  });
  const host = new URL(answer.url).host;
  const chunks = answer.response.body ?? [];
  try {
    for await (const chunk of chunks) {
      if (totalBytes !== null && partial.receivedBytes + chunk.length > totalBytes) {
        await restart(partial);
        throw new TransientError(`${host} sent more than the ${totalBytes} bytes of the file`);
      }
      await writeAll(partial, chunk).catch((error: unknown) => {
        throw toDiskError(
          error,
          options.path,
          totalBytes === null ? null : totalBytes - partial.receivedBytes,
        );
      });
      partial.farthestBytes = Math.max(partial.farthestBytes, partial.receivedBytes);
      meter.update(partial.receivedBytes);
      throwIfAborted(signal, label);
    }
  } catch (error) {
    throwIfAborted(signal, label);
    throw toNetworkFault(error, host);
  }
  if (totalBytes !== null && partial.receivedBytes < totalBytes) {
    throw new TransientError(`${host} sent ${partial.receivedBytes} of ${totalBytes} bytes`);
  }
  meter.finish();
}

/** Sees to it that what follows continues what is there; returns the size of the whole file, where it is known. */
async function checkAnswer(
  answer: HttpAnswer,
  options: DownloadOptions,
  partial: PartialFile,
): Promise<number | null> {
  const { response, url } = answer;
  const { status } = response;
  const host = new URL(url).host;
  const refuse = async (message: string): Promise<never> => {
    await discard(response);
    throw new TransientError(`${host} ${message}`);
  };
  if (status === 404 || status === 410) {
    await discard(response);
    throw new InkstoneError("download_failed", `${options.label}: ${host} no longer has it (${status}).`);
  }
  if (status === 416) {
    await restart(partial);
    return await refuse("could not continue the file (416)");
  }
  if (status !== 200 && status !== 206) return await refuse(`answered ${status}`);
  if (/^text\/html\b/i.test(response.headers.get("content-type") ?? "")) {
    return await refuse("sent an HTML page instead of the file, as login pages of networks do");
  }
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  let totalBytes = Number.isSafeInteger(length) ? length : null;
  if (status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
    if (range === null || Number(range[1]) !== partial.receivedBytes) {
      await restart(partial);
      return await refuse("continued the file at another place");
    }
    if (range[2] === "*") totalBytes = totalBytes === null ? null : totalBytes + partial.receivedBytes;
    else totalBytes = Number(range[2]);
  } else if (partial.receivedBytes > 0) {
    await restart(partial);
  }
  if (options.sizeBytes !== null && totalBytes !== null && totalBytes !== options.sizeBytes) {
    await restart(partial);
    return await refuse(`offers ${totalBytes} bytes, but the index names ${options.sizeBytes}`);
  }
  return options.sizeBytes ?? totalBytes;
}

async function writeAll(partial: PartialFile, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.length) {
    const position = partial.receivedBytes + written;
    const { bytesWritten } = await partial.file.write(chunk, written, chunk.length - written, position);
    written += bytesWritten;
  }
  partial.hash.update(chunk);
  partial.receivedBytes += chunk.length;
}
