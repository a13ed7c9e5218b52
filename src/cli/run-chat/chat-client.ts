/** Chat over the OpenAI API: of a server somewhere, or of one inside this process. */
import { errorTable, InkstoneError } from "../../errors.ts";
import type { ErrorCode } from "../../errors.ts";
import { readEventData } from "./sse.ts";

/** Sends a request to a path of the API. */
export type ApiRequest = (path: string, init?: RequestInit) => Promise<Response>;

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** Parameters of a chat completion, by the API's names. */
export type ChatParameters = Readonly<Record<string, number | string>>;

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly parameters: ChatParameters;
}

/** What is known of an answer when it has ended. */
export interface ChatResult {
  readonly content: string;
  readonly finishReason: string | null;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly cachedTokens: number | null;
  /** The server's own times, as llama-server gives them. */
  readonly timings: Readonly<Record<string, number>> | null;
}

/** Gets text as it comes; reasoning is apart from the answer. */
export interface ChatSink {
  reasoning(text: string): void;
  content(text: string): void;
}

interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
}

interface Chunk {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null; readonly reasoning_content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: Usage | null;
  readonly timings?: Readonly<Record<string, number>>;
  readonly error?: { readonly message?: string; readonly code?: string | number | null };
}

const post = (body: unknown, signal: AbortSignal): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
  signal,
});

/** Streams an answer into `sink`. Throws the server's error as an error of the table. */
export async function streamChat(
  request: ApiRequest,
  { model, messages, parameters }: ChatRequest,
  sink: ChatSink,
  signal: AbortSignal,
): Promise<ChatResult> {
  const body = { model, messages, ...parameters, stream: true, stream_options: { include_usage: true } };
  const response = await untilAborted(request("/v1/chat/completions", post(body, signal)), signal);
  if (!response.ok || response.body === null) throw await responseError(response);
  let content = "";
  let finishReason: string | null = null;
  let usage: Usage = {};
  let timings: ChatResult["timings"] = null;
  for await (const data of readEventData(response.body, signal)) {
    if (data === "[DONE]") break;
    const chunk = parseJson(data) as Chunk;
    if (chunk.error !== undefined) throw toError(chunk.error, 500);
    const choice = chunk.choices?.[0];
    if (choice?.delta?.reasoning_content) sink.reasoning(choice.delta.reasoning_content);
    if (choice?.delta?.content) {
      content += choice.delta.content;
      sink.content(choice.delta.content);
    }
    finishReason = choice?.finish_reason ?? finishReason;
    usage = chunk.usage ?? usage;
    timings = chunk.timings ?? timings;
  }
  signal.throwIfAborted();
  if (finishReason === null) {
    throw new InkstoneError("server_unreachable", "the server ended the answer before it was complete");
  }
  return {
    content,
    finishReason,
    promptTokens: usage.prompt_tokens ?? null,
    completionTokens: usage.completion_tokens ?? null,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? null,
    timings,
  };
}

/** The whole answer as the API's own object. */
export async function completeChat(
  request: ApiRequest,
  { model, messages, parameters }: ChatRequest,
  signal: AbortSignal,
): Promise<unknown> {
  const body = { model, messages, ...parameters };
  const response = await untilAborted(request("/v1/chat/completions", post(body, signal)), signal);
  if (!response.ok) throw await responseError(response);
  return response.json();
}

/** The answer, or the signal's reason as soon as it aborts; an answer that comes later is cancelled. */
async function untilAborted(answer: Promise<Response>, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
      answer.then((late) => late.body?.cancel()).catch(() => {});
    };
    signal.addEventListener("abort", onAbort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    if (signal.aborted) onAbort();
  });
}

/** An answer that is not 2xx as an error of the table. */
export async function responseError(response: Response): Promise<InkstoneError> {
  const text = await response.text();
  const { error } = (parseJson(text) ?? {}) as { error?: Chunk["error"] };
  if (error !== undefined) return toError(error, response.status);
  const said = text === "" ? "nothing" : JSON.stringify(text.slice(0, 200));
  return new InkstoneError(
    "internal_error",
    `the server answered with status ${response.status} and ${said}`,
  );
}

function toError(error: NonNullable<Chunk["error"]>, status: number): InkstoneError {
  const message = error.message ?? `the server answered with status ${status}`;
  const code = String(error.code);
  return new InkstoneError(code in errorTable ? (code as ErrorCode) : "internal_error", message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Requests to a running server. Throws `server_unreachable` where none answers. */
export function createHttpRequest(baseUrl: string, apiKey: string | null): ApiRequest {
  const base = serverUrl(baseUrl);
  return async (path, init = {}) => {
    const headers = new Headers(init.headers);
    if (apiKey !== null) headers.set("authorization", `Bearer ${apiKey}`);
    try {
      return await fetch(base + path, { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new InkstoneError("server_unreachable", `no server answers at ${base}: ${causeOf(error)}`, {
        cause: error,
      });
    }
  };
}

/** `localhost:8080`, `http://host/v1/` as the address that paths are added to. Throws `invalid_config`. */
export function serverUrl(text: string): string {
  const address = /^https?:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(address)) {
    throw new InkstoneError("invalid_config", `--url: ${JSON.stringify(text)} is not an address`);
  }
  return address.replace(/\/+$/, "").replace(/\/v1$/, "");
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const { code, message } = (cause ?? error) as { code?: string; message?: string };
  return code === "ECONNREFUSED" ? "connection refused" : message || code || String(error);
}
