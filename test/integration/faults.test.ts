/** Bad input gets a clear error each, while four streams go on undisturbed. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { countingPrompts, countingTokens } from "./counting-prompts.ts";
import { readMetric } from "./metrics.ts";
import { runCommand, servedModel, startServer, testModel } from "./server.ts";
import type { RunningServer } from "./server.ts";

const key = "test-key-0123456789";
const streams = 4;
const mebibyte = 1024 * 1024;

interface Fault {
  readonly name: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is. */
  readonly body?: () => string;
  readonly status: number;
  readonly code: string;
  /** Names the parameter at fault. */
  readonly param?: string;
}

const chat = (fields: object): (() => string) => {
  return () => JSON.stringify({ model: servedModel, messages: [{ role: "user", content: "Hi" }], ...fields });
};
const completion = (fields: object): (() => string) => {
  return () => JSON.stringify({ model: servedModel, prompt: "Hi", max_tokens: 4, ...fields });
};

const faults: readonly Fault[] = [
  { name: "malformed JSON", body: () => '{"messages": [', status: 400, code: "invalid_json" },
  { name: "an empty body", body: () => "", status: 400, code: "invalid_json" },
  { name: "a body that is no object", body: () => "[1, 2]", status: 400, code: "invalid_request" },
  {
    name: "messages of a wrong type",
    body: chat({ messages: "Hi" }),
    status: 400,
    code: "invalid_request",
    param: "messages",
  },
  {
    name: "a temperature that is text",
    body: chat({ temperature: "hot" }),
    status: 400,
    code: "invalid_request",
    param: "temperature",
  },
  {
    name: "a negative max_tokens",
    body: chat({ max_tokens: -5 }),
    status: 400,
    code: "invalid_request",
    param: "max_tokens",
  },
  {
    name: "a prompt of a wrong type",
    path: "/v1/completions",
    body: completion({ prompt: { text: "Hi" } }),
    status: 400,
    code: "invalid_request",
    param: "prompt",
  },
  {
    name: "a token outside the vocabulary",
    path: "/v1/completions",
    body: completion({ prompt: [1, 999_999_999] }),
    status: 400,
    code: "invalid_request",
    param: "prompt",
  },
  {
    name: "a grammar that does not parse",
    body: chat({ grammar: "root ::= (" }),
    status: 400,
    code: "invalid_grammar",
  },
  { name: "an unknown model", body: chat({ model: "nobody" }), status: 404, code: "model_not_found" },
  { name: "an unknown path", path: "/v1/nothing", body: chat({}), status: 404, code: "not_found" },
  {
    name: "a wrong method",
    method: "DELETE",
    body: chat({}),
    status: 405,
    code: "method_not_allowed",
  },
  {
    name: "a bad key",
    headers: { authorization: "Bearer wrong" },
    body: chat({}),
    status: 401,
    code: "invalid_api_key",
  },
  { name: "no key", headers: { authorization: "" }, body: chat({}), status: 401, code: "invalid_api_key" },
  {
    name: "an oversized body",
    body: chat({ messages: [{ role: "user", content: "x".repeat(17 * mebibyte) }] }),
    status: 413,
    code: "body_too_large",
  },
  {
    name: "a chat of 10 million characters",
    body: chat({ messages: [{ role: "user", content: "word ".repeat(2_000_000) }] }),
    status: 400,
    code: "context_length_exceeded",
  },
  {
    name: "a prompt of 10 million characters without a space",
    path: "/v1/completions",
    body: completion({ prompt: "x".repeat(10_000_000) }),
    status: 400,
    code: "context_length_exceeded",
  },
  {
    name: "a prompt longer than the context window",
    path: "/v1/completions",
    body: completion({ prompt: "word ".repeat(3000) }),
    status: 400,
    code: "context_length_exceeded",
  },
];

describe("faults beside four streams", { timeout: 300_000 }, () => {
  let server: RunningServer;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inkstone-faults-"));
    const keys = join(folder, "keys.txt");
    await writeFile(keys, `${key}\n`, { mode: 0o600 });
    server = await startServer({
      args: [
        ...["--context-window", "2048", "--max-body-bytes", "16MiB", "--request-timeout-ms", "2000"],
        ...["--api-key-file", keys],
      ],
    });
  });

  afterAll(async () => {
    await server?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };

  /** Streams one answer whole; rejects on anything but text, usage and the end. */
  async function stream(prompt: string): Promise<string> {
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers,
      body: JSON.stringify({
        model: servedModel,
        prompt,
        max_tokens: countingTokens,
        temperature: 0,
        ignore_eos: true,
        stream: true,
      }),
    });
    if (!response.ok) throw new Error(`a stream got ${response.status}: ${await response.text()}`);
    const events = (await response.text()).split("\n\n").filter((event) => event !== "");
    if (events.pop() !== "data: [DONE]") throw new Error("a stream was cut off");
    return events
      .map((event) => {
        const { choices, error } = JSON.parse(event.replace(/^data: /, "")) as {
          choices?: { text: string }[];
          error?: object;
        };
        if (error !== undefined) throw new Error(`a stream got an error: ${JSON.stringify(error)}`);
        return choices?.[0]?.text ?? "";
      })
      .join("");
  }

  /** Four streams, one after another each, until told to stop; gives all their texts by prompt. */
  async function streamUntil(isOver: () => boolean): Promise<Map<string, string[]>> {
    const texts = new Map<string, string[]>();
    await Promise.all(
      countingPrompts.slice(0, streams).map(async (prompt) => {
        const own: string[] = [];
        texts.set(prompt, own);
        do own.push(await stream(prompt));
        while (!isOver());
      }),
    );
    return texts;
  }

  async function send(fault: Fault): Promise<void> {
    const response = await fetch(`${server.url}${fault.path ?? "/v1/chat/completions"}`, {
      method: fault.method ?? "POST",
      headers: { ...headers, ...fault.headers },
      body: fault.body?.(),
    });
    const { error } = (await response.json()) as {
      error: { code: string; message: string; type: string; param: string | null };
    };
    expect({
      name: fault.name,
      status: response.status,
      code: error.code,
      param: fault.param === undefined ? undefined : error.param,
      hasMessage: error.message.length > 0 && error.message.length < 1000,
      hasType: error.type.endsWith("_error"),
    }).toEqual({
      name: fault.name,
      status: fault.status,
      code: fault.code,
      param: fault.param,
      hasMessage: true,
      hasType: true,
    });
  }

  /** A client that announces a body and never sends it. */
  function sendNoBody(): Promise<string> {
    return new Promise((resolve, reject) => {
      let answer = "";
      const socket = connect(server.port, "127.0.0.1", () => {
        socket.write(
          `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n` +
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n",
        );
      });
      socket.setEncoding("utf8").on("data", (text: string) => (answer += text));
      socket.on("close", () => resolve(answer));
      socket.on("error", reject);
    });
  }

  test("each is a clear error, and the streams are those of a quiet server", async () => {
    const quiet = await streamUntil(() => true);
    let isOver = false;
    const busy = streamUntil(() => isOver);
    try {
      for (const fault of faults) {
        await send(fault).catch((error: unknown) => {
          throw new Error(`${fault.name} got no answer`, { cause: error });
        });
      }
      expect(await sendNoBody()).toMatch(/^HTTP\/1\.1 408 /);
      const taken = await runCommand(["serve", testModel, "--port", String(server.port)]);
      expect(taken.exitCode).toBe(3);
      expect(taken.stderr).toContain(String(server.port));
    } finally {
      isOver = true;
    }
    for (const [prompt, texts] of await busy) {
      const [expected] = quiet.get(prompt) ?? [];
      expect(new Set(texts)).toEqual(new Set([expected]));
    }
    expect(await readMetric(server.url, "inkstone:engine_restarts_total", headers)).toBe(0);
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  });
});
