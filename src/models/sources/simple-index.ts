/** Pages of a package index: the simple API, in JSON (PEP 691) or HTML (PEP 503). */
import { z } from "zod";
import { toUrl } from "../http/client.ts";
import { normalisePackageName } from "./pypi-reference.ts";
import { compareVersions, isSameVersion, parseVersion } from "./versions.ts";

/** A wheel that an index offers. */
export interface Wheel {
  readonly fileName: string;
  readonly url: string;
  readonly version: string;
  /** In hexadecimal; null where the index does not say. */
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
  readonly isYanked: boolean;
}

/** What is asked for from an index; JSON first, because only it names sizes. */
export const simpleIndexAccept =
  "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

const pageSchema = z.object({
  files: z.array(
    z.object({
      filename: z.string(),
      url: z.string(),
      hashes: z.record(z.string(), z.string()).default({}),
      size: z.number().int().nonnegative().nullish(),
      yanked: z.union([z.boolean(), z.string()]).default(false),
    }),
  ),
});

/**
 * The wheels of a package on a page of its index; `pageUrl` is what addresses on it are relative to.
 * Null where the page is neither form of the simple API.
 */
export function parseSimplePage(
  page: { readonly text: string; readonly contentType: string; readonly url: string },
  packageName: string,
): Wheel[] | null {
  const isJson = /json/i.test(page.contentType) || page.text.trimStart().startsWith("{");
  return isJson ? parseJson(page, packageName) : parseHtml(page, packageName);
}

/**
 * The wheel to take: of that version, or of the newest one that is neither a pre-release nor yanked (pre-releases only where there
 * is nothing else). One that fits every machine goes before others. Null where there is none.
 */
export function chooseWheel(wheels: readonly Wheel[], version: string | null): Wheel | null {
  const any = (candidates: readonly Wheel[]): Wheel | null =>
    candidates.find((wheel) => wheel.fileName.endsWith("-none-any.whl")) ?? candidates[0] ?? null;
  if (version !== null) return any(wheels.filter((wheel) => isSameVersion(wheel.version, version)));
  const dated = wheels.flatMap((wheel) => {
    const parsed = parseVersion(wheel.version);
    return parsed === null || wheel.isYanked ? [] : [{ wheel, parsed }];
  });
  const releases = dated.filter(({ parsed }) => !parsed.isPrerelease);
  const eligible = releases.length > 0 ? releases : dated;
  const [newest] = eligible.toSorted((a, b) => compareVersions(b.parsed, a.parsed));
  if (newest === undefined) return null;
  const sameAge = eligible.filter(({ parsed }) => compareVersions(parsed, newest.parsed) === 0);
  return any(sameAge.map(({ wheel }) => wheel));
}

/** The version in a wheel's file name, if it is a wheel of that package. */
export function wheelVersion(fileName: string, packageName: string): string | null {
  const match = /^([^-]+)-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl$/.exec(fileName);
  if (match === null || normalisePackageName(match[1] ?? "") !== packageName) return null;
  return (match[2] ?? "").replaceAll("_", "-");
}

function parseJson(
  page: { readonly text: string; readonly url: string },
  packageName: string,
): Wheel[] | null {
  let json: unknown;
  try {
    json = JSON.parse(page.text);
  } catch {
    return null;
  }
  const parsed = pageSchema.safeParse(json);
  if (!parsed.success) return null;
  return parsed.data.files.flatMap((file): Wheel[] => {
    const version = wheelVersion(file.filename, packageName);
    const url = toUrl(file.url, page.url);
    if (version === null || url === null) return [];
    return [
      {
        fileName: file.filename,
        url: url.href,
        version,
        sha256: toSha256(file.hashes["sha256"]),
        sizeBytes: file.size ?? null,
        isYanked: file.yanked !== false,
      },
    ];
  });
}

function parseHtml(
  page: { readonly text: string; readonly url: string },
  packageName: string,
): Wheel[] | null {
  const base = /<base\b[^>]*\bhref\s*=\s*["']([^"']+)["']/i.exec(page.text);
  const baseUrl = toUrl(decodeEntities(base?.[1] ?? ""), page.url)?.href ?? page.url;
  const anchors = [...page.text.matchAll(/<a\b((?:[^>"']|"[^"]*"|'[^']*')*)>/gi)];
  if (anchors.length === 0 && !/<(?:!doctype|html)/i.test(page.text)) return null;
  return anchors.flatMap((anchor): Wheel[] => {
    const attributes = anchor[1] ?? "";
    const href = /\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')/i.exec(attributes);
    const url = toUrl(decodeEntities(href?.[1] ?? href?.[2] ?? ""), baseUrl);
    if (href === null || url === null) return [];
    const fileName = decodePath(url.pathname.slice(url.pathname.lastIndexOf("/") + 1));
    const version = wheelVersion(fileName, packageName);
    if (version === null) return [];
    const sha256 = toSha256(/^#(?:.*&)?sha256=([0-9a-fA-F]+)/.exec(url.hash)?.[1]);
    url.hash = "";
    return [
      {
        fileName,
        url: url.href,
        version,
        sha256,
        sizeBytes: null,
        isYanked: /\bdata-yanked\b/i.test(attributes),
      },
    ];
  });
}

function toSha256(text: string | undefined): string | null {
  return text !== undefined && /^[0-9a-f]{64}$/i.test(text) ? text.toLowerCase() : null;
}

function decodeEntities(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replaceAll(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(amp|lt|gt|quot|apos));/gi,
    (whole, decimal, hex, name) => {
      if (typeof name === "string") return named[name.toLowerCase()] ?? whole;
      const code = typeof hex === "string" ? Number.parseInt(hex, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
