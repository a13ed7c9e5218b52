/**
 * A client that is light enough to share the cores with the server that it measures: node:http, one JSON.parse for each
 * event, no further library.
 */
import { request } from "node:http";

/** One streamed answer as the client saw it; times are of `performance.now()`, in milliseconds. */
export interface StreamRecord {
  readonly startMs: number;
  /** When each event with text arrived; the first one is the first token. */
  readonly arrivalsMs: readonly number[];
  readonly endMs: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Prompt tokens that the server says it had in its cache. */
  readonly cachedTokens: number;
}

export interface StreamRequest {
  /** Such as http://127.0.0.1:8080. */
  readonly url: string;
  readonly prompt: readonly number[];
  readonly maxTokens: number;
}

interface StreamEvent {
  readonly choices?: readonly { readonly text?: string }[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly error?: { readonly message?: string };
}

/** Streams one greedy completion to its full length. Rejects on any status but 200, an error event, or a short answer. */
export function streamCompletion({ url, prompt, maxTokens }: StreamRequest): Promise<StreamRecord> {
  const body = JSON.stringify({
    prompt,
    max_tokens: maxTokens,
    temperature: 0,
    ignore_eos: true,
    stream: true,
    stream_options: { include_usage: true },
  });
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const outgoing = request(
      `${url}/v1/completions`,
      {
        method: "POST",
        // a connection of its own: servers close idle ones at moments of their choice
        agent: false,
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      },
      (response) => {
        const arrivalsMs: number[] = [];
        let usage: StreamEvent["usage"];
        let failure: string | undefined;
        let rest = "";
        const read = (line: string): void => {
          if (!line.startsWith("data: ") || line === "data: [DONE]") return;
          const event = JSON.parse(line.slice(6)) as StreamEvent;
          if (event.error !== undefined) failure = event.error.message ?? "an error event";
          if (event.choices?.[0]?.text) arrivalsMs.push(performance.now());
          usage = event.usage ?? usage;
        };
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop() ?? "";
          if (response.statusCode === 200) lines.forEach(read);
          else rest = `${lines.join("\n")}${rest}`;
        });
        response.on("error", reject);
        response.on("end", () => {
          const endMs = performance.now();
          if (response.statusCode !== 200) failure = `status ${response.statusCode}: ${rest.slice(0, 500)}`;
          else if (!usage) failure ??= "the stream ended without its usage";
          else if (usage.completion_tokens !== maxTokens || arrivalsMs.length === 0) {
            failure ??= `${usage.completion_tokens} tokens in ${arrivalsMs.length} events instead of ${maxTokens}`;
          }
          if (failure !== undefined || !usage) return reject(new Error(`${url}: ${failure}`));
          resolve({
            startMs,
            arrivalsMs,
            endMs,
            promptTokens: usage.prompt_tokens,
            completionTokens: usage.completion_tokens,
            cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
          });
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Milliseconds from sending the request to the first event with text. */
export function timeToFirstTokenMs(record: StreamRecord): number {
  return (record.arrivalsMs[0] ?? record.endMs) - record.startMs;
}
