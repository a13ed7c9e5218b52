/** Which requests may share cached prefixes. */
import { createHash, randomUUID } from "node:crypto";

export interface NamespaceParts {
  /** null where no key was asked for, or where keys share. */
  readonly apiKeyId: string | null;
  readonly cacheSalt: string | null;
  /** false: shares with nobody. */
  readonly cachePrompt: boolean;
}

/** A name that is equal exactly for requests that may share; it reveals neither key nor salt. */
export function toCacheNamespace({ apiKeyId, cacheSalt, cachePrompt }: NamespaceParts): string {
  if (!cachePrompt) return `once:${randomUUID()}`;
  if (apiKeyId === null && cacheSalt === null) return "";
  return createHash("sha256")
    .update(JSON.stringify([apiKeyId, cacheSalt]))
    .digest("base64url");
}
