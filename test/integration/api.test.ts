/** The API over a real socket, with the official client, against an engine without a model. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import OpenAI from "openai";
import { afterEach, describe, expect, test } from "vitest";
import { createApp } from "../../src/api/app.ts";
import { serveHttp } from "../../src/api/http-server.ts";
import type { HttpServer } from "../../src/api/http-server.ts";
import { createApiFixture } from "../support/api-deps.ts";
import type { ApiFixture, ApiFixtureOptions } from "../support/api-deps.ts";

interface Service extends ApiFixture {
  readonly url: string;
  readonly port: number;
  readonly client: OpenAI;
}

const servers: HttpServer[] = [];
const model = "fake-model";
const messages = [{ role: "user" as const, content: "Hi" }];

async function start(options: ApiFixtureOptions & { readonly apiKey?: string } = {}): Promise<Service> {
  const fixture = createApiFixture(options);
  const server = await serveHttp(createApp(fixture.deps), {
    host: "127.0.0.1",
    port: 0,
    requestTimeoutMs: fixture.deps.settings.requestTimeoutMs,
  });
  servers.push(server);
  const client = new OpenAI({
    baseURL: `${server.url}/v1`,
    apiKey: options.apiKey ?? "none",
    maxRetries: 0,
  });
  return { ...fixture, url: server.url, port: server.port, client };
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

/** What the server sends on a bare connection until it closes it. */
async function readAll(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (data) => (text += data.toString()));
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  return text;
}

describe("the official client", () => {
  test("a chat answer, with usage", async () => {
    const { client } = await start({ cachedTokens: 4 });
    const answer = await client.chat.completions.create({ model, messages });
    expect(answer.choices[0]).toMatchObject({
      message: { role: "assistant", content: "Hello!" },
      finish_reason: "stop",
    });
    expect(answer.usage).toMatchObject({
      completion_tokens: 6,
      prompt_tokens_details: { cached_tokens: 4 },
    });
  });

  test("a streamed chat answer, with usage", async () => {
    const { client } = await start({ reply: "你好, 👋!" });
    const stream = await client.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe("你好, 👋!");
    expect(usage?.completion_tokens).toBe(Buffer.byteLength("你好, 👋!"));
  });

  test("the client's own accumulation of a stream agrees with the whole answer", async () => {
    const { client } = await start({ reply: "same" });
    const streamed = await client.chat.completions
      .stream({ model, messages, n: 2, logprobs: true, top_logprobs: 1 })
      .finalChatCompletion();
    const whole = await client.chat.completions.create({
      model,
      messages,
      n: 2,
      logprobs: true,
      top_logprobs: 1,
    });
    const facts = (answer: OpenAI.ChatCompletion) =>
      answer.choices.map(({ index, message, logprobs, finish_reason }) => ({
        index,
        content: message.content,
        logprobs: logprobs?.content,
        finish_reason,
      }));
    expect(facts(streamed)).toEqual(facts(whole));
    expect(whole.choices).toHaveLength(2);
  });

  test("text completions, streamed and not", async () => {
    const { client } = await start({ reply: "more" });
    const whole = await client.completions.create({ model, prompt: "once", echo: true, logprobs: 0 });
    expect(whole.choices[0]?.text).toBe("oncemore");
    expect(whole.choices[0]?.logprobs?.tokens).toHaveLength(8);
    let text = "";
    for await (const chunk of await client.completions.create({ model, prompt: "once", stream: true })) {
      text += chunk.choices[0]?.text ?? "";
    }
    expect(text).toBe("more");
  });

  test("models", async () => {
    const { client } = await start();
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual([model]);
    expect((await client.models.retrieve(model)).id).toBe(model);
  });
});

describe("errors in the client's classes", () => {
  test("bad request, unknown model, no such path", async () => {
    const { client } = await start();
    const bad = client.chat.completions.create({ model, messages, temperature: -1 });
    await expect(bad).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    await expect(bad).rejects.toMatchObject({ status: 400, code: "invalid_request", param: "temperature" });
    const unknown = client.chat.completions.create({ model: "other", messages });
    await expect(unknown).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(unknown).rejects.toMatchObject({ code: "model_not_found" });
    await expect(client.files.list()).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("a bad key, and a good one", async () => {
    const bad = await start({ keys: "sk-right", apiKey: "sk-wrong" });
    await expect(bad.client.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const good = await start({ keys: "sk-right", apiKey: "sk-right" });
    expect((await good.client.models.list()).data).toHaveLength(1);
  });

  test("a full queue", async () => {
    const { client } = await start({ maxRequests: 0 });
    const error = await client.chat.completions
      .create({ model, messages, stream: true })
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect((error as InstanceType<typeof OpenAI.RateLimitError>).headers?.get("retry-after")).toBe("7");
  });

  test("a failure in the middle of a stream", async () => {
    const { client, engine } = await start({ pace: "manual" });
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    engine.step();
    engine.send(engine.requests[0]?.id ?? "", {
      tokens: [],
      finish: { reason: "error", errorCode: "engine_crashed", message: "it crashed" },
    });
    const read = async () => {
      for await (const _chunk of stream);
    };
    await expect(read()).rejects.toThrow("it crashed");
  });

  test("10 million characters, while another stream goes on", async () => {
    const { client, engine } = await start({ pace: "manual", reply: "ab" });
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    const content = "x".repeat(10_000_000);
    const error = client.chat.completions.create({ model, messages: [{ role: "user", content }] });
    await expect(error).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
    for (let step = 0; step < 3; step++) engine.step();
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
    expect(text).toBe("ab");
  });
});

describe("clients that go away", () => {
  test("in the middle of a stream", async () => {
    const { client, engine, log } = await start({ pace: "manual" });
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    engine.step();
    stream.controller.abort();
    await engine.waitRunning(0);
    expect(engine.cancelled).toEqual([engine.requests[0]?.id]);
    expect(log.join("")).toContain('"disconnected":true');
  });

  test("while they wait for a whole answer, with several choices", async () => {
    const { client, engine } = await start({ pace: "manual" });
    const controller = new AbortController();
    const answer = client.chat.completions.create({ model, messages, n: 2 }, { signal: controller.signal });
    const failure = answer.catch((error: unknown) => error);
    await engine.waitRunning(2);
    controller.abort();
    await engine.waitRunning(0);
    expect(engine.cancelled).toHaveLength(2);
    expect(await failure).toBeInstanceOf(OpenAI.APIUserAbortError);
  });

  test("a client that stops reading is given up, and its tokens do not pile up", async () => {
    const { port, engine } = await start({
      pace: "manual",
      contextWindow: 1_000_000,
      reply: "x".repeat(200_000),
      settings: { maxUnreadBytes: 100_000 },
    });
    const body = JSON.stringify({ messages, stream: true });
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    socket.pause();
    await engine.waitRunning(1);
    while (engine.nRunning > 0) {
      for (let step = 0; step < 100; step++) engine.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(engine.cancelled).toHaveLength(1);
    socket.destroy();
  });
});

describe("bodies", () => {
  test("an announced size beyond the limit is refused before it is sent", async () => {
    const { port } = await start({ settings: { maxBodyBytes: 1000 } });
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n{");
    const answer = await readAll(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('"code":"body_too_large"');
  });

  test("a chunked body beyond the limit is refused while it is sent", async () => {
    const { port } = await start({ settings: { maxBodyBytes: 1000 } });
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    socket.write(`800\r\n${"x".repeat(0x800)}\r\n`);
    const answer = await readAll(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('"code":"body_too_large"');
  });

  test("a body that does not arrive in time", async () => {
    const { port } = await start({ settings: { requestTimeoutMs: 200 } });
    const socket = connect(port, "127.0.0.1");
    socket.write("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    const answer = await readAll(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('"code":"request_timeout"');
  });

  test("headers that do not arrive in time", async () => {
    const { port } = await start({ settings: { requestTimeoutMs: 200 } });
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /health HTTP/1.1\r\nHost: x\r\n");
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("what is no HTTP gets the same envelope", async () => {
    const { port } = await start();
    const socket = connect(port, "127.0.0.1");
    socket.write("NONSENSE\r\n\r\n");
    const answer = await readAll(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"invalid_request"');
  });

  test("malformed JSON, and wrong types", async () => {
    const { url } = await start();
    for (const [body, code] of [
      ['{"messages": [', "invalid_json"],
      ['{"messages": "hi"}', "invalid_request"],
    ]) {
      const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code } });
    }
  });
});

describe("headers", () => {
  test("request ids on answers, streams and errors", async () => {
    const { url } = await start();
    const body = JSON.stringify({ messages, stream: true });
    for (const [path, init] of [
      ["/health", {}],
      ["/missing", {}],
      ["/v1/chat/completions", { method: "POST", body }],
    ] as const) {
      const response = await fetch(url + path, { ...init, headers: { "x-request-id": "my-id" } });
      expect(response.headers.get("x-request-id")).toBe("my-id");
      await response.text();
    }
  });

  test("CORS only when asked", async () => {
    const headers = { origin: "https://a.example" };
    const off = await start();
    const on = await start({ settings: { corsOrigins: ["https://a.example"] } });
    const body = JSON.stringify({ messages, stream: true });
    const request = async (url: string) => {
      const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body, headers });
      await response.text();
      return response.headers.get("access-control-allow-origin");
    };
    expect(await request(off.url)).toBeNull();
    expect(await request(on.url)).toBe("https://a.example");
  });

  test("a connection serves several requests", async () => {
    const { port } = await start();
    const socket = connect(port, "127.0.0.1");
    const get = "GET /health/live HTTP/1.1\r\nHost: x\r\n";
    socket.write(`${get}\r\n${get}Connection: close\r\n\r\n`);
    expect((await readAll(socket)).match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  });
});

test("many streams at once arrive complete and in order", async () => {
  const { client } = await start({ reply: (request) => `answer of ${request.id.slice(-1)} `.repeat(20) });
  const answers = await Promise.all(
    Array.from({ length: 32 }, async () => {
      let text = "";
      for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? "";
      }
      return text;
    }),
  );
  expect(new Set(answers)).toEqual(new Set(["answer of 0 ".repeat(20)]));
});
