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

  test("the server's default for max_tokens", async () => {
    const { postOk, engine } = createTestApp({ settings: { defaultMaxTokens: 9 } });
    await postOk(path, { messages });
    await postOk(path, { messages, max_tokens: -1 });
    expect(engine.requests.map((request) => request.maxTokens)).toEqual([9, 9]);
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

describe("sampling", () => {
  test("OpenAI's defaults", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, { messages });
    expect(engine.requests[0]).toMatchObject({
      ignoreEos: false,
      topLogprobs: -1,
      promptLogprobs: -1,
      cacheNamespace: "",
      priority: 0,
      sampling: {
        temperature: 1,
        topK: 0,
        topP: 1,
        minP: 0,
        typicalP: 1,
        repeatPenalty: 1,
        repeatLastN: 64,
        presencePenalty: 0,
        frequencyPenalty: 0,
        seed: null,
        logitBias: [],
        grammar: null,
      },
    });
  });

  test("every field arrives, under all its names", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, {
      messages,
      temperature: 0,
      top_k: -1,
      top_p: 0.5,
      min_p: 0.1,
      typical: 0.9,
      repetition_penalty: 1.1,
      repeat_last_n: -1,
      presence_penalty: -1,
      frequency_penalty: 2,
      seed: -1,
      logit_bias: { 65: -100, 66: 5 },
      grammar: 'root ::= "a"',
      ignore_eos: true,
      priority: -3,
    });
    expect(engine.requests[0]).toMatchObject({
      ignoreEos: true,
      priority: -3,
      sampling: {
        temperature: 0,
        topK: 0,
        topP: 0.5,
        minP: 0.1,
        typicalP: 0.9,
        repeatPenalty: 1.1,
        repeatLastN: -1,
        presencePenalty: -1,
        frequencyPenalty: 2,
        seed: null,
        logitBias: [
          { token: 65, bias: -100 },
          { token: 66, bias: 5 },
        ],
        grammar: 'root ::= "a"',
      },
    });
  });

  test("null is the same as absent", async () => {
    const { postOk } = createTestApp();
    await postOk(path, {
      messages,
      temperature: null,
      stop: null,
      stream: null,
      tools: null,
      logprobs: null,
    });
  });

  test("large and negative seeds become 32 bits", async () => {
    const { postOk, engine } = createTestApp();
    for (const seed of [2 ** 40, -7]) await postOk(path, { messages, seed });
    for (const { sampling } of engine.requests) {
      expect(sampling.seed).toBeGreaterThanOrEqual(0);
      expect(sampling.seed).toBeLessThan(2 ** 32 - 1);
    }
  });

  test("cache_salt and cache_prompt separate caches", async () => {
    const { postOk, engine } = createTestApp();
    for (const more of [
      { cache_salt: "a" },
      { cache_salt: "b" },
      { cache_salt: "a" },
      { cache_prompt: false },
      { cache_prompt: false },
    ]) {
      await postOk(path, { messages, ...more });
    }
    const [a, b, aAgain, once, onceMore] = engine.requests.map((request) => request.cacheNamespace);
    expect(a).toBe(aAgain);
    expect(new Set([a, b, once, onceMore]).size).toBe(4);
  });

  test("a grammar that does not compile is refused before anything runs", async () => {
    const { postError, engine } = createTestApp();
    expect(await postError(path, { messages, grammar: "nothing" })).toMatchObject({
      status: 400,
      code: "invalid_grammar",
    });
    expect(engine.requests).toHaveLength(0);
  });
});

describe("refusals", () => {
  test.each<[string, object, string]>([
    ["messages missing", {}, "messages is missing: it must be a list"],
    ["messages a string", { messages: "hi" }, 'messages must be a list, but it is "hi"'],
    ["no messages", { messages: [] }, "messages must have at least 1 entries, but it is a list of 0"],
    [
      "an unknown role",
      { messages: [{ role: "robot", content: "" }] },
      'messages[0].role must be "system" or "developer" or "user" or "assistant" or "tool" or "function", but it is "robot"',
    ],
    [
      "content a number",
      { messages: [{ role: "user", content: 5 }] },
      "messages[0].content must be a string or a list, but it is 5",
    ],
    [
      "a part without a type",
      { messages: [{ role: "user", content: [{ text: "a" }] }] },
      "messages[0].content[0].type is missing: it must be a string",
    ],
    [
      "temperature a string",
      { messages, temperature: "hot" },
      'temperature must be a number, but it is "hot"',
    ],
    ["temperature below 0", { messages, temperature: -1 }, "temperature must be at least 0, but it is -1"],
    ["top_p 0", { messages, top_p: 0 }, "top_p must be more than 0, but it is 0"],
    ["n a fraction", { messages, n: 1.5 }, "n must be an integer, but it is 1.5"],
    ["n too large", { messages, n: 1000 }, "n must be at most 128, but it is 1000"],
    [
      "max_tokens 0",
      { messages, max_tokens: 0 },
      "max_tokens must be at least 1 (or -1 for no limit), but it is 0",
    ],
    ["stream a string", { messages, stream: "yes" }, 'stream must be true or false, but it is "yes"'],
    ["an empty stop", { messages, stop: ["a", ""] }, 'stop[1] must have at least 1 characters, but it is ""'],
    ["top_logprobs alone", { messages, top_logprobs: 2 }, "top_logprobs is 2, but logprobs is not true"],
    [
      "a bias of no token",
      { messages, logit_bias: { 9999: 1 } },
      "logit_bias.9999 is not a token of the model, whose vocabulary has 259",
    ],
    [
      "a stop token that is none",
      { messages, stop_token_ids: [9999] },
      "stop_token_ids holds 9999, but the model's vocabulary has 259 tokens",
    ],
  ])("%s", async (_name, body, message) => {
    const { postError, engine } = createTestApp();
    const error = await postError(path, body);
    expect(error).toMatchObject({
      status: 400,
      code: "invalid_request",
      type: "invalid_request_error",
      message,
    });
    expect(message).toContain(error.param);
    expect(engine.requests).toHaveLength(0);
  });

  test.each<[string, unknown]>([
    ["tools", [{ type: "function", function: { name: "f" } }]],
    ["tool_choice", "required"],
    ["functions", [{ name: "f" }]],
    ["response_format", { type: "json_object" }],
    ["modalities", ["text", "audio"]],
    ["audio", { voice: "x" }],
  ])("%s is known and not supported", async (name, value) => {
    const error = await createTestApp().postError(path, { messages, [name]: value });
    expect(error).toMatchObject({ status: 400, code: "unsupported_parameter", param: name });
  });

  test("their neutral values are fine, and so are unknown fields", async () => {
    await createTestApp().postOk(path, {
      messages,
      tools: [],
      tool_choice: "auto",
      functions: null,
      response_format: { type: "text" },
      modalities: ["text"],
      some_new_field: { a: 1 },
      __proto__: { n: 5 },
    });
  });

  test.each([
    ["no JSON", "{", "invalid_json"],
    ["nothing", "", "invalid_json"],
    ["a list", "[]", "invalid_request"],
    ["null", "null", "invalid_request"],
  ])("a body that is %s", async (_name, body, code) => {
    expect(await createTestApp().postError(path, body)).toMatchObject({ status: 400, code });
  });

  test("an unknown model", async () => {
    expect(await createTestApp().postError(path, { messages, model: "gpt-9" })).toMatchObject({
      status: 404,
      code: "model_not_found",
      param: "model",
      message: 'the model "gpt-9" is not served here; served: fake-model',
    });
  });

  test("a full queue is 429 with Retry-After, streamed or not; no choice is left running", async () => {
    const { post, engine } = createTestApp({ maxRequests: 1 });
    for (const stream of [false, true]) {
      const response = await post(path, { messages, n: 2, stream });
      expect(response.status).toBe(429);
      expect(response.headers.get("retry-after")).toBe("7");
      expect(await response.json()).toMatchObject({
        error: { code: "queue_full", type: "rate_limit_error" },
      });
      expect(engine.nRunning).toBe(0);
    }
  });

  test("a prompt that leaves no room says both numbers in OpenAI's words", async () => {
    const { postError, engine } = createTestApp({ contextWindow: 100 });
    const error = await postError(path, { messages: [{ role: "user", content: "x".repeat(200) }] });
    expect(error).toMatchObject({ status: 400, code: "context_length_exceeded", param: "messages" });
    expect(error.message).toMatch(
      /^This model's maximum context length is 100 tokens\. However, your messages resulted in 2\d\d tokens\./,
    );
    expect(engine.requests).toHaveLength(0);
  });

  test("10 million characters are refused without tokenising", async () => {
    const { postError, engine } = createTestApp();
    const error = await postError(path, { messages: [{ role: "user", content: "x".repeat(10_000_000) }] });
    expect(error.code).toBe("context_length_exceeded");
    expect(error.message).toContain("is 2048 tokens");
    expect(error.message).toContain("resulted in at least 156250 tokens");
    expect(engine.nTokenized).toBe(0);
  });

  test("a template's refusal", async () => {
    const chatTemplate = "{{ raise_exception('roles must alternate') }}";
    const error = await createTestApp({ chatTemplate }).postError(path, { messages });
    expect(error).toMatchObject({ status: 400, code: "template_failed" });
    expect(error.message).toContain("roles must alternate");
  });
});
