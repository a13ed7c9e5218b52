/** The API keys that are accepted. Only their digests are kept. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { InkstoneError } from "../errors.ts";

/** A key that a request was made with. */
export interface ApiKey {
  /** Digest of the key: separates prefix caches. */
  readonly id: string;
  /** What logs show instead of the key: its label in the file, or `key-N` for the file's N-th key. */
  readonly label: string;
}

export interface ApiKeyring {
  /** Number of keys. */
  readonly size: number;
  /** The key with this text, or null. Takes the same time for every wrong key. */
  find(key: string): ApiKey | null;
}

interface Entry extends ApiKey {
  readonly digest: Buffer;
}

const digestOf = (key: string): Buffer => createHash("sha256").update(key).digest();

/**
 * Reads the text of a key file: one key a line, `#` starts a comment line, `label: key` names a key for the logs.
 * `source` names the file in errors. Throws `invalid_config`; the message never holds a key.
 */
export function parseApiKeys(text: string, source: string): ApiKeyring {
  const entries: Entry[] = [];
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const place = `${source}, line ${index + 1}`;
    const labelled = /^([\w.-]+):\s+(.*)$/.exec(trimmed);
    const key = labelled?.[2] ?? trimmed;
    if (!/^[\x21-\x7e]+$/.test(key)) {
      throw new InkstoneError(
        "invalid_config",
        `${place}: a key is one word of printable ASCII characters, with or without "label: " before it`,
        { param: "api_key_file" },
      );
    }
    const digest = digestOf(key);
    if (entries.some((entry) => entry.digest.equals(digest))) {
      throw new InkstoneError("invalid_config", `${place}: the same key stands in an earlier line`, {
        param: "api_key_file",
      });
    }
    const label = labelled?.[1] ?? `key-${entries.length + 1}`;
    entries.push({ id: digest.toString("hex"), label, digest });
  }
  if (entries.length === 0) {
    throw new InkstoneError("invalid_config", `${source} holds no API key`, { param: "api_key_file" });
  }
  return {
    size: entries.length,
    find(key) {
      const digest = digestOf(key);
      let found: Entry | null = null;
      for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found = entry;
      return found;
    },
  };
}

/** Reads a key file. Throws `invalid_config` when it cannot be read or holds no key. */
export function readApiKeyFile(path: string): ApiKeyring {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InkstoneError("invalid_config", `the API key file ${path} cannot be read: ${reason}`, {
      param: "api_key_file",
      cause: error,
    });
  }
  return parseApiKeys(text, path);
}
