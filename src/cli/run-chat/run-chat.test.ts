import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";

import { InkstoneError } from "../../errors.ts";
import { createPalette } from "../terminal/colors.ts";
import { describeTimings, writeAnswer } from "./answer.ts";
import { createHttpRequest, serverUrl, streamChat } from "./chat-client.ts";
import type { ApiRequest } from "./chat-client.ts";
import { ChatInputReader } from "./input.ts";
import { parseParameter } from "./parameters.ts";
import { splitWords, toPrompt } from "./prompt.ts";
import { openRemoteSession } from "./session.ts";
import { readEventData } from "./sse.ts";

const never = new AbortController().signal;

function streamOf(...chunks: readonly (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks)
        controller.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
      controller.close();
    },
  });
}

const events = (...data: readonly unknown[]): string =>
  [...data.map((part) => JSON.stringify(part)), "[DONE]"].map((part) => `data: ${part}\n\n`).join("");

const answering =
  (body: string, status = 200): ApiRequest =>
  async () =>
    new Response(streamOf(body), { status });

describe("server-sent events", () => {
  test("are read across borders of chunks and characters", async () => {
    const bytes = new TextEncoder().encode(
      "data: 你好\r\n\r\n: a comment\n\ndata: a\ndata: b\n\ndata: unfinished",
    );
    const chunks = [...bytes].map((byte) => Uint8Array.of(byte));
    const read: string[] = [];
    for await (const part of readEventData(streamOf(...chunks))) read.push(part);
    expect(read).toEqual(["你好", "a\nb"]);
  });
});

describe("the chat client", () => {
  const request = { model: "m", messages: [], parameters: { temperature: 0 } };
  const silent = { reasoning: () => {}, content: () => {} };

  test("streams reasoning and content apart, and keeps usage and timings", async () => {
    const seen: string[] = [];
    const body = events(
      { choices: [{ delta: { role: "assistant", content: "" } }] },
      { choices: [{ delta: { reasoning_content: "hm" } }] },
      { choices: [{ delta: { content: "Hel" } }] },
      { choices: [{ delta: { content: "lo" }, finish_reason: "stop" }] },
      {
        choices: [],
        usage: { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } },
        timings: { prompt_ms: 5 },
      },
    );
    const result = await streamChat(
      answering(body),
      request,
      { reasoning: (text) => seen.push(`(${text})`), content: (text) => seen.push(text) },
      never,
    );
    expect(seen).toEqual(["(hm)", "Hel", "lo"]);
    expect(result).toEqual({
      content: "Hello",
      finishReason: "stop",
      promptTokens: 3,
      completionTokens: 2,
      cachedTokens: 1,
      timings: { prompt_ms: 5 },
    });
  });

  test("sends the parameters and asks for usage", async () => {
    let sent: unknown;
    const spy: ApiRequest = async (_path, init) => {
      sent = JSON.parse(init?.body as string);
      return new Response(events({ choices: [{ finish_reason: "stop" }] }));
    };
    await streamChat(spy, request, silent, never);
    expect(sent).toEqual({
      model: "m",
      messages: [],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test.each<[string, ApiRequest, string, RegExp]>([
    [
      "an error of the table",
      answering(JSON.stringify({ error: { message: "too long", code: "context_length_exceeded" } }), 400),
      "context_length_exceeded",
      /^too long$/,
    ],
    [
      "another server's error",
      answering(JSON.stringify({ error: { message: "no", code: 7 } }), 400),
      "internal_error",
      /^no$/,
    ],
    ["no JSON", answering("<html>", 502), "internal_error", /status 502 and "<html>"/],
    [
      "an error in the stream",
      answering(events({ error: { message: "gone", code: "engine_crashed" } })),
      "engine_crashed",
      /^gone$/,
    ],
    ["a stream that ends early", answering("data: {}\n\n"), "server_unreachable", /before it was complete/],
  ])("%s is thrown", async (_name, answer, code, message) => {
    const error = await streamChat(answer, request, silent, never).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InkstoneError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as unknown });
  });

  test("no server is server_unreachable", async () => {
    const error = await createHttpRequest(
      "127.0.0.1:1",
      null,
    )("/v1/models").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "server_unreachable" });
  });

  test.each([
    ["localhost:8080", "http://localhost:8080"],
    ["https://a.example/v1/", "https://a.example"],
    ["http://[::1]:80", "http://[::1]:80"],
  ])("the address %s is %s", (text, expected) => {
    expect(serverUrl(text)).toBe(expected);
  });

  test("an address that is none is refused", () => {
    expect(() => serverUrl("http://a b")).toThrow(InkstoneError);
  });

  test("without a model named, a session takes the server's first", async () => {
    const models = answering(JSON.stringify({ data: [{ id: "first" }, { id: "second" }] }));
    expect((await openRemoteSession(models, null, never)).model).toBe("first");
    expect((await openRemoteSession(models, "mine", never)).model).toBe("mine");
    await expect(openRemoteSession(answering('{"data":[]}'), null, never)).rejects.toMatchObject({
      code: "model_not_found",
    });
  });
});

describe("an answer", () => {
  function output(isTerminal: boolean) {
    const written: string[] = [];
    const stream = {
      write: (text: string) => void written.push(text),
      isTerminal,
      columns: 80,
      palette: createPalette(false, {}),
    };
    return { written, stream };
  }
  const body = events(
    { choices: [{ delta: { reasoning_content: "why" } }] },
    { choices: [{ delta: { content: "so" }, finish_reason: "stop" }] },
  );
  const session = { request: answering(body), model: "m", close: async () => {} };

  test("shows reasoning on a terminal only, and ends with a line break", async () => {
    for (const [isTerminal, text] of [
      [true, "why\n\nso\n"],
      [false, "so\n"],
    ] as const) {
      const { written, stream } = output(isTerminal);
      const request = answering(body);
      await writeAnswer({ ...session, request }, { messages: [], parameters: {} }, stream, never);
      expect(written.join("")).toBe(text);
    }
  });

  test("timings name tokens and rates, and leave out what the server did not say", () => {
    const base = { content: "", finishReason: "stop", promptTokens: 9, completionTokens: 2, cachedTokens: 4 };
    const timings = {
      prompt_ms: 10,
      prompt_per_second: 900,
      predicted_ms: 20.4,
      predicted_per_second: 98.04,
    };
    expect(describeTimings({ ...base, timings })).toBe(
      "prompt:  9 tokens, 10 ms, 900.0 tokens/s (4 of the prompt's tokens were cached)\n" +
        "answer:  2 tokens, 20 ms, 98.0 tokens/s\n",
    );
    expect(describeTimings({ ...base, cachedTokens: null, timings: null })).toBe(
      "prompt:  9 tokens\nanswer:  2 tokens\n",
    );
  });
});

describe("typed lines", () => {
  test("messages, commands and nothing", () => {
    const reader = new ChatInputReader();
    expect(reader.feed("  hello ")).toEqual({ kind: "message", text: "hello" });
    expect(reader.feed("/SET temperature 0.5")).toEqual({
      kind: "command",
      name: "set",
      args: ["temperature", "0.5"],
    });
    expect(reader.feed("   ")).toEqual({ kind: "empty" });
  });

  test('a message of several lines stands between """', () => {
    const reader = new ChatInputReader();
    expect(reader.feed('"""first')).toEqual({ kind: "more" });
    expect(reader.isOpen).toBe(true);
    expect(reader.feed("/bye")).toEqual({ kind: "more" });
    expect(reader.feed('  last"""')).toEqual({ kind: "message", text: "first\n/bye\n  last" });
    expect(reader.isOpen).toBe(false);
    expect(reader.feed('"""one line"""')).toEqual({ kind: "message", text: "one line" });
    expect(reader.feed('"""')).toEqual({ kind: "more" });
    expect(reader.feed('"""')).toEqual({ kind: "empty" });
  });

  test("one that was begun can be forgotten", () => {
    const reader = new ChatInputReader();
    reader.feed('"""first');
    reader.reset();
    expect(reader.feed("second")).toEqual({ kind: "message", text: "second" });
  });
});

describe("parameters", () => {
  test("are numbers in their range", () => {
    expect(parseParameter("temperature", "0.7")).toBe(0.7);
    expect(parseParameter("max_tokens", "16")).toBe(16);
  });

  test.each([
    ["temperature", "warm", /invalid value "warm"; allowed: a number from 0 to 2/],
    ["temperature", "", /invalid value/],
    ["max_tokens", "1.5", /allowed: a whole number from 1/],
    ["temprature", "1", /unknown parameter temprature; did you mean temperature\?/],
  ])("%s %s is refused", (name, text, message) => {
    expect(() => parseParameter(name, text)).toThrow(message);
  });
});

describe("model and prompt", () => {
  test.each([
    [[], false, undefined, ""],
    [["m"], false, "m", ""],
    [["m", "Why", "me?"], false, "m", "Why me?"],
    [["Why me?"], false, undefined, "Why me?"],
    [["my model.gguf", "Hi"], false, "my model.gguf", "Hi"],
    [["Hi", "there"], true, undefined, "Hi there"],
  ])("%j with --model %s", (words, hasModelFlag, model, prompt) => {
    expect(splitWords(words, hasModelFlag)).toEqual({ model, prompt });
  });

  test("standard input comes before the words", async () => {
    const pipe = (text: string): Readable => Readable.from(text === "" ? [] : [Buffer.from(text)]);
    expect(await toPrompt(pipe("a diff\n"), "Review it.")).toBe("a diff\n\nReview it.");
    expect(await toPrompt(pipe("only this"), "")).toBe("only this");
    expect(await toPrompt(pipe(""), "only that")).toBe("only that");
    expect(await toPrompt(pipe(" \n"), "")).toBeNull();
    const terminal = Object.assign(pipe("typed later"), { isTTY: true });
    expect(await toPrompt(terminal, "")).toBeNull();
  });
});
