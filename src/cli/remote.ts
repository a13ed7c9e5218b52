/** How commands reach a running server. */
import { Option } from "commander";

import type { Config } from "../config/schema.ts";
import { InkstoneError } from "../errors.ts";
import type { CliContext } from "./context.ts";
import { createHttpRequest } from "./run-chat/chat-client.ts";
import type { ApiRequest } from "./run-chat/chat-client.ts";

/** `--url`. */
export function urlOption(
  help = "Address of the server (default: this machine, on the configured port).",
): Option {
  return new Option("--url <URL>", help);
}

/** Requests to the server at `url`, else to the one of this machine's configuration, with the first configured key. */
export function createServerRequest(
  context: CliContext,
  config: Config,
  url: string | undefined,
): ApiRequest {
  return createHttpRequest(url ?? `http://127.0.0.1:${config.port}`, firstKey(context, config.apiKeyFile));
}

function firstKey({ inputs }: CliContext, path: string | null): string | null {
  if (path === null) return null;
  const text = inputs.readFile(path);
  if (text === null) throw new InkstoneError("invalid_config", `api_key_file: there is no file ${path}`);
  const lines = text.split("\n").map((line) => line.trim());
  const first = lines.find((line) => line !== "" && !line.startsWith("#"));
  return first?.replace(/^[\w.-]+:\s+/, "") ?? null;
}
