/** The official client against a server with real weights. */
import { existsSync, readFileSync } from "node:fs";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { servedModel, startServer } from "./server.ts";
import type { RunningServer } from "./server.ts";

let server: RunningServer;
let client: OpenAI;

beforeAll(async () => {
  server = await startServer({ args: ["--context-window", "1024"] });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});

afterAll(() => server?.stop());

const model = servedModel;
const ask = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: "user", content }];

describe("chat", () => {
  const greedy = {
    model,
    messages: ask("Count from one to five."),
    temperature: 0,
    max_completion_tokens: 24,
  };

  test("whole and streamed are the same answer; the second finds the prompt in the cache", async () => {
    const whole = await client.chat.completions.create(greedy);
    const [choice] = whole.choices;
    expect(choice?.message.role).toBe("assistant");
    expect(choice?.message.content).not.toBe("");
    expect(["stop", "length"]).toContain(choice?.finish_reason);
    expect(whole.usage?.prompt_tokens).toBeGreaterThan(10);
    expect(whole.usage?.total_tokens).toBe(
      (whole.usage?.prompt_tokens ?? 0) + (whole.usage?.completion_tokens ?? 0),
    );

    const stream = await client.chat.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    let finishReason: string | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      finishReason = chunk.choices[0]?.finish_reason ?? finishReason;
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(choice?.message.content);
    expect(finishReason).toBe(choice?.finish_reason);
    expect(usage?.prompt_tokens).toBe(whole.usage?.prompt_tokens);
    expect(usage?.completion_tokens).toBe(whole.usage?.completion_tokens);
    expect(usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(0);
  });

  test("log-probabilities: the greedy token is the most probable of its alternatives", async () => {
    const answer = await client.chat.completions.create({
      ...greedy,
      max_completion_tokens: 8,
      logprobs: true,
      top_logprobs: 3,
    });
    const tokens = answer.choices[0]?.logprobs?.content ?? [];
    expect(tokens.length).toBe(answer.usage?.completion_tokens);
    for (const { token, logprob, top_logprobs: top } of tokens) {
      expect(top).toHaveLength(3);
      expect(top[0]?.token).toBe(token);
      expect(top[0]?.logprob).toBeCloseTo(logprob, 5);
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top[0]?.logprob).toBeGreaterThanOrEqual(top[1]?.logprob ?? 0);
    }
    expect(tokens.map(({ token }) => token).join("")).toBe(answer.choices[0]?.message.content);
  });

  test("n = 2: two choices of one prompt", async () => {
    const answer = await client.chat.completions.create({ ...greedy, temperature: 1, seed: 7, n: 2 });
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(answer.choices[0]?.message.content).not.toBe(answer.choices[1]?.message.content);
  });

  test("equal seeds give equal samples, others do not", async () => {
    const sample = async (seed: number) => {
      const answer = await client.chat.completions.create({ ...greedy, temperature: 1.5, seed });
      return answer.choices[0]?.message.content;
    };
    const first = await sample(42);
    expect(await sample(42)).toBe(first);
    expect(await sample(43)).not.toBe(first);
  });

  test("a stop string ends the answer before it", async () => {
    const free = await client.chat.completions.create(greedy);
    const text = free.choices[0]?.message.content ?? "";
    const stop = text.slice(4, 8);
    const answer = await client.chat.completions.create({ ...greedy, stop: [stop] });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: "stop",
      message: { content: text.slice(0, text.indexOf(stop)) },
    });
  });
});

test("prompt_logprobs with n = 2 are computed once and told with both choices", async () => {
  const answer = await client.completions.create({
    model,
    prompt: "The capital of France is",
    echo: true,
    logprobs: 0,
    n: 2,
    seed: 1,
    max_tokens: 4,
  });
  const [first, second] = answer.choices.map(({ logprobs }) => logprobs?.token_logprobs?.slice(0, 5));
  expect(first?.length).toBe(5);
  expect(second).toEqual(first);
  for (const { text } of answer.choices) expect(text).toMatch(/^The capital of France is/);
});

test("models.list and models.retrieve", async () => {
  const ids: string[] = [];
  for await (const each of client.models.list()) ids.push(each.id);
  expect(ids).toEqual([servedModel]);
  expect(await client.models.retrieve(servedModel)).toMatchObject({ object: "model", id: servedModel });
});

test("a prompt that is too long is a BadRequestError with OpenAI's code", async () => {
  const long = client.chat.completions.create({ model, messages: ask("word ".repeat(3000)) });
  const error = await long.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(OpenAI.BadRequestError);
  expect(error).toMatchObject({ status: 400, code: "context_length_exceeded", param: "messages" });
  expect((error as Error).message).toMatch(/maximum context length is 1024 tokens/);
});

test("an unknown model is a NotFoundError", async () => {
  const call = client.chat.completions.create({ model: "absent", messages: ask("Hi") });
  await expect(call).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

test.skipIf(!existsSync("/proc/self/maps"))(
  "the server itself never loads the library; the engine's process does",
  () => {
    const library = /libllama|libggml|koffi/;
    expect(readFileSync(`/proc/${server.pid}/maps`, "utf8")).not.toMatch(library);
    const [engine] = server.enginePids();
    expect(readFileSync(`/proc/${engine}/maps`, "utf8")).toMatch(library);
  },
);
