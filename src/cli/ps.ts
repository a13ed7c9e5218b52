import { Command, Option } from "commander";

import type { CliContext } from "./context.ts";
import { createServerRequest, urlOption } from "./remote.ts";
import { responseError } from "./run-chat/chat-client.ts";
import { addSettings, loadSettings } from "./settings.ts";
import { formatBytes } from "./terminal/format.ts";
import { renderTable } from "./terminal/table.ts";

/** An entry of GET /v1/models; servers of other makers leave `meta` out. */
interface ModelEntry {
  readonly id: string;
  readonly meta?: {
    readonly size?: number;
    readonly processor?: string;
    readonly n_ctx?: number;
    readonly kv_used_tokens?: number;
    readonly kv_total_tokens?: number;
    readonly running?: number;
    readonly waiting?: number;
  };
}

const examples = `
Examples:
  inkstone ps                                  the server on this machine
  inkstone ps --url http://gpu-box:8080 --json
`;

const waitMs = 10_000;

/** `inkstone ps`: what a running server serves, and how busy it is. */
export function createPsCommand(context: CliContext): Command {
  const command = new Command("ps").addOption(urlOption()).addOption(new Option("--json", "Print JSON."));
  addSettings(command, ["log"], ["port", "apiKeyFile"]);
  return command
    .addHelpText("after", examples)
    .action(async ({ url, json = false }: { url?: string; json?: boolean }) => {
      const request = createServerRequest(context, loadSettings(context, command), url);
      const response = await request("/v1/models", { signal: AbortSignal.timeout(waitMs) });
      if (!response.ok) throw await responseError(response);
      const { data = [] } = (await response.json()) as { data?: readonly ModelEntry[] };
      context.stdout.write(json ? `${JSON.stringify(data, null, 2)}\n` : toTable(data));
    });
}

function toTable(models: readonly ModelEntry[]): string {
  const head = ["NAME", "SIZE", "PROCESSOR", "CONTEXT", "KV", "RUNNING", "WAITING"];
  return renderTable(head, models.map(toRow));
}

function toRow({ id, meta = {} }: ModelEntry): string[] {
  const text = (value: number | string | undefined): string => (value === undefined ? "-" : String(value));
  const { kv_used_tokens: used, kv_total_tokens: total } = meta;
  const percent = total ? Math.round(((used ?? 0) / total) * 100) : 0;
  return [
    id,
    meta.size === undefined ? "-" : formatBytes(meta.size),
    text(meta.processor),
    text(meta.n_ctx),
    total === undefined ? "-" : `${used ?? 0}/${total} (${percent}%)`,
    text(meta.running),
    text(meta.waiting),
  ];
}
