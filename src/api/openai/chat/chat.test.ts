import { describe, expect, test } from "vitest";
import { createTestApp } from "../../../../test/support/api-request.ts";
import type { Json } from "../../../../test/support/api-request.ts";
import { bytesToText, controlTokens } from "../../../../test/support/fake-vocabulary.ts";

const path = "/v1/chat/completions";
const messages = [{ role: "user", content: "Hi" }];

const contentOf = (events: readonly Json[], index = 0): string =>
  events
    .flatMap((event) => event.choices as Json[])
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta.content ?? "")
    .join("");

describe("a whole answer", () => {
  test("has OpenAI's shape, usage with cached tokens and llama-server's timings", async () => {
    const { postOk } = createTestApp({ cachedTokens: 5 });
    const answer = await postOk(path, { model: "alias", messages });
    expect(answer).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: "chat.completion",
      model: "fake-model",
      system_fingerprint: "inkstone-0.0.0",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello!", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
    });
    const { usage, timings } = answer;
    expect(usage.completion_tokens).toBe(6);
    expect(usage.total_tokens).toBe(usage.prompt_tokens + 6);
    expect(usage.prompt_tokens_details).toEqual({ cached_tokens: 5 });
    expect(timings).toMatchObject({
      cache_n: 5,
      prompt_n: usage.prompt_tokens - 5,
      prompt_ms: 20,
      predicted_n: 6,
      predicted_ms: 40,
      predicted_per_token_ms: 6.667,
      predicted_per_second: 150,
    });
  });

  test("the prompt is the model's template over the messages; control text of users stays text", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, { messages: [{ role: "user", content: "a<|im_end|>b" }] });
    const tokens = engine.requests[0]?.promptTokens ?? [];
    expect(tokens.filter((token) => token === controlTokens["<|im_start|>"])).toHaveLength(2);
    expect(tokens.filter((token) => token === controlTokens["<|im_end|>"])).toHaveLength(1);
    expect(bytesToText(tokens)).toContain("a<|im_end|>b");
  });

  test("content parts are joined; an image is refused by its place", async () => {
    const { postOk, postError, engine } = createTestApp();
    const text = (value: string) => ({ type: "text", text: value });
    await postOk(path, { messages: [{ role: "user", content: [text("one"), text("two")] }] });
    expect(bytesToText(engine.requests[0]?.promptTokens ?? [])).toContain("one\ntwo");
    const image = { type: "image_url", image_url: { url: "data:," } };
    const error = await postError(path, { messages: [{ role: "user", content: [text("a"), image] }] });
    expect(error).toMatchObject({ code: "unsupported_parameter", param: "messages[0].content[1]" });
  });

  test("lone surrogates pass through", async () => {
    const { post } = createTestApp();
    const response = await post(path, String.raw`{"messages":[{"role":"user","content":"a\ud800b"}]}`);
    expect(response.status).toBe(200);
  });

  test("n choices share a prompt that counts once; seeds follow each other", async () => {
    const { postOk, engine } = createTestApp({ reply: (request) => request.id.slice(-1) });
    const answer = await postOk(path, { messages, n: 3, seed: 10 });
    expect(answer.choices.map((choice: Json) => [choice.index, choice.message.content])).toEqual([
      [0, "0"],
      [1, "1"],
      [2, "2"],
    ]);
    expect(answer.usage.completion_tokens).toBe(3);
    expect(answer.usage.prompt_tokens).toBe(engine.requests[0]?.promptTokens.length);
    expect(engine.requests.map((request) => request.sampling.seed)).toEqual([10, 11, 12]);
    expect(engine.requests[1]?.promptTokens).toBe(engine.requests[0]?.promptTokens);
  });

  test("log-probabilities with alternatives", async () => {
    const { postOk } = createTestApp({ reply: "A" });
    const answer = await postOk(path, { messages, logprobs: true, top_logprobs: 2 });
    expect(answer.choices[0].logprobs.content).toEqual([
      {
        token: "A",
        bytes: [65],
        logprob: -0.5,
        top_logprobs: [
          { token: "A", bytes: [65], logprob: -0.5 },
          { token: "B", bytes: [66], logprob: -1.5 },
        ],
      },
    ]);
  });

  test("prompt log-probabilities in vLLM's form", async () => {
    const { postOk, engine } = createTestApp();
    const answer = await postOk(path, { messages, prompt_logprobs: 1 });
    const prompt = engine.requests[0]?.promptTokens ?? [];
    expect(answer.prompt_logprobs).toHaveLength(prompt.length);
    expect(answer.prompt_logprobs[0]).toBeNull();
    expect(answer.prompt_logprobs[1]).toEqual({
      [String(prompt[1])]: { logprob: -0.5, rank: 1, decoded_token: "u" },
    });
  });

  test("reasoning is separated, and left in place when asked", async () => {
    const chatTemplate = "{{ messages[0].content }}{# <think></think> #}";
    const reply = "<think>why</think>because";
    const { postOk } = createTestApp({ chatTemplate, reply });
    const separated = await postOk(path, { messages });
    expect(separated.choices[0].message).toMatchObject({
      content: "because",
      reasoning_content: "why",
      reasoning: "why",
    });
    const raw = await postOk(path, { messages, reasoning_format: "none" });
    expect(raw.choices[0].message.content).toBe(reply);
    expect(raw.choices[0].message.reasoning_content).toBeUndefined();
  });
});

describe("a stream", () => {
  test("role first, then text, then the reason with timings", async () => {
    const { postStream } = createTestApp({ reply: "Hé" });
    const events = await postStream(path, { messages });
    expect(events[0]?.choices).toEqual([
      { index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
    ]);
    expect(contentOf(events)).toBe("Hé");
    expect(events.map((event) => event.object)).toEqual(events.map(() => "chat.completion.chunk"));
    expect(new Set(events.map((event) => event.id)).size).toBe(1);
    const last = events.at(-1);
    expect(last?.choices).toEqual([{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }]);
    expect(last?.timings.predicted_n).toBe(3);
    expect(events.some((event) => "usage" in event)).toBe(false);
  });

  test("include_usage adds a chunk without choices; the others say null", async () => {
    const { postStream } = createTestApp();
    const events = await postStream(path, { messages, stream_options: { include_usage: true } });
    expect(events.slice(0, -1).every((event) => event.usage === null)).toBe(true);
    expect(events.at(-1)).toMatchObject({
      choices: [],
      usage: { completion_tokens: 6, prompt_tokens_details: { cached_tokens: 0 } },
      timings: { predicted_n: 6 },
    });
    expect(events.at(-2)?.timings).toBeUndefined();
  });

  test("choices keep their index", async () => {
    const { postStream } = createTestApp({ reply: (request) => `choice ${request.id.slice(-1)}` });
    const events = await postStream(path, { messages, n: 2 });
    expect(contentOf(events, 0)).toBe("choice 0");
    expect(contentOf(events, 1)).toBe("choice 1");
    expect(events.filter((event) => event.timings !== undefined)).toHaveLength(1);
  });

  test("every token's log-probability arrives once, even while its text is held back", async () => {
    const { postStream } = createTestApp({ reply: "é!" });
    const events = await postStream(path, { messages, logprobs: true });
    const tokens = events.flatMap((event) => event.choices[0].logprobs?.content ?? []);
    expect(tokens.map((token: Json) => token.bytes[0])).toEqual([...Buffer.from("é!")]);
    expect(contentOf(events)).toBe("é!");
  });

  test("reasoning deltas", async () => {
    const { postStream } = createTestApp({
      chatTemplate: "{{ messages[0].content }}{# <think></think> #}",
      reply: "<think>why</think>because",
    });
    const events = await postStream(path, { messages });
    const reasoning = events.map((event) => event.choices[0].delta.reasoning_content ?? "").join("");
    expect(reasoning).toBe("why");
    expect(contentOf(events)).toBe("because");
  });

  test("a failure of the engine is an error event, and the end", async () => {
    const { post, engine } = createTestApp({ pace: "manual" });
    const response = await post(path, { messages, stream: true });
    engine.step();
    engine.send(engine.requests[0]?.id ?? "", {
      tokens: [],
      finish: { reason: "error", errorCode: "engine_crashed", message: "crashed three times" },
    });
    const text = await response.text();
    expect(text).not.toContain("[DONE]");
    const last: Json = JSON.parse(text.trimEnd().split("\n\n").at(-1)?.slice("data: ".length) ?? "");
    expect(last.error).toMatchObject({ code: "engine_crashed", message: "crashed three times" });
  });

  test("when one choice fails, the others are cancelled", async () => {
    const { post, engine } = createTestApp({ pace: "manual" });
    const response = await post(path, { messages, n: 2, stream: true });
    const [first, second] = engine.requests;
    engine.send(first?.id ?? "", { tokens: [], finish: { reason: "error", errorCode: "internal_error" } });
    expect(engine.cancelled).toEqual([second?.id]);
    await response.text();
  });

  test("the reader's leaving cancels the request", async () => {
    const { post, engine, log } = createTestApp({ pace: "manual" });
    const response = await post(path, { messages, stream: true });
    await response.body?.cancel();
    expect(engine.cancelled).toHaveLength(1);
    expect(JSON.parse(log[0] ?? "")).toMatchObject({ disconnected: true });
  });

  test("a reader that does not read is given up", async () => {
    const { post, engine } = createTestApp({
      pace: "manual",
      reply: "x".repeat(1000),
      settings: { maxUnreadBytes: 2000 },
    });
    await post(path, { messages, stream: true });
    for (let step = 0; step < 20 && engine.nRunning > 0; step++) engine.step();
    expect(engine.cancelled).toHaveLength(1);
  });
});

describe("the end", () => {
  test("max_tokens", async () => {
    const { postOk } = createTestApp();
    for (const field of ["max_tokens", "max_completion_tokens"]) {
      const answer = await postOk(path, { messages, [field]: 2 });
      expect(answer.choices[0]).toMatchObject({ message: { content: "He" }, finish_reason: "length" });
    }
  });

  test("max_tokens is cut to the room that the prompt leaves", async () => {
    const { postOk, engine } = createTestApp({ contextWindow: 100 });
    await postOk(path, { messages, max_tokens: 5000 });
    await postOk(path, { messages });
    const room = 100 - (engine.requests[0]?.promptTokens.length ?? 0);
    expect(engine.requests.map((request) => request.maxTokens)).toEqual([room, room]);
  });

  test("a stop string ends the answer at the engine too, and is not shown", async () => {
    const { postOk, engine } = createTestApp({ reply: "one STOP two" });
    const answer = await postOk(path, { messages, stop: ["STOP"] });
    expect(answer.choices[0]).toMatchObject({ message: { content: "one " }, finish_reason: "stop" });
    expect(engine.cancelled).toHaveLength(1);
    expect(answer.usage.completion_tokens).toBe(8);
    const shown = await postOk(path, { messages, stop: "STOP", include_stop_str_in_output: true });
    expect(shown.choices[0].message.content).toBe("one STOP");
  });

  test("an unfinished stop string is given out at the end", async () => {
    const { postOk, postStream } = createTestApp({ reply: "so ST" });
    expect((await postOk(path, { messages, stop: "STOP" })).choices[0].message.content).toBe("so ST");
    expect(contentOf(await postStream(path, { messages, stop: "STOP" }))).toBe("so ST");
  });

  test("a stop token ends the answer and is not shown", async () => {
    const { postOk, engine } = createTestApp({ reply: "ab.cd" });
    const answer = await postOk(path, { messages, stop_token_ids: [46] });
    expect(answer.choices[0]).toMatchObject({ message: { content: "ab" }, finish_reason: "stop" });
    expect(engine.cancelled).toHaveLength(1);
  });
});
