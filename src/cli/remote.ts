/** How commands reach a running server. */
import { Option } from "commander";

import { parseApiKeys } from "../api/keyring.ts";
import type { LoadedConfig } from "../config/load.ts";
import { InkstoneError } from "../errors.ts";
import { localUrl } from "./banner.ts";
import type { CliContext } from "./context.ts";
import { createHttpRequest } from "./run-chat/chat-client.ts";
import type { ApiRequest } from "./run-chat/chat-client.ts";

/** `--url`. */
export function urlOption(
  help = "Address of the server (default: this machine, on the configured port).",
): Option {
  return new Option("--url <URL>", help);
}

/** Where requests go, and the key that they carry. */
export interface ServerTarget {
  readonly url: string;
  readonly apiKey: string | null;
}

/**
 * The server at `url`, else the one of this machine's configuration. A key of the configuration is for that one only: to
 * another address goes the first key of a file that was named by a flag, or none. Throws `invalid_config` for a key file
 * that is missing or holds no key.
 */
export function serverTarget(
  { inputs }: Pick<CliContext, "inputs">,
  { config, origins }: Pick<LoadedConfig, "config" | "origins">,
  url: string | undefined,
): ServerTarget {
  const isForTarget = url === undefined || origins.apiKeyFile.kind === "flag";
  const apiKey =
    isForTarget && config.apiKeyFile !== null ? firstKey(inputs.readFile, config.apiKeyFile) : null;
  return { url: url ?? localUrl(config.host, config.port), apiKey };
}

/** Requests to the server that `serverTarget` names. */
export function createServerRequest(
  context: CliContext,
  loaded: LoadedConfig,
  url: string | undefined,
): ApiRequest {
  const target = serverTarget(context, loaded, url);
  return createHttpRequest(target.url, target.apiKey);
}

function firstKey(readFile: (path: string) => string | null, path: string): string | null {
  const text = readFile(path);
  if (text === null) throw new InkstoneError("invalid_config", `api_key_file: there is no file ${path}`);
  const keyring = parseApiKeys(text, path);
  const words = text.replace(/^\uFEFF/, "").split(/\s+/);
  return words.find((word) => keyring.find(word) !== null) ?? null;
}
