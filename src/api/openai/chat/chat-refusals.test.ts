import { describe, expect, test } from "vitest";
import { createTestApp } from "../../../../test/support/api-request.ts";

const path = "/v1/chat/completions";
const messages = [{ role: "user", content: "Hi" }];

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
      "a list of very many values",
      { messages: [...Array.from({ length: 5000 }, () => 1)] },
      "messages must have at most 4096 entries, but it is a list of 5000",
    ],
    ["bad messages", { messages: [1, 1, 1] }, "messages[0] must be an object, but it is 1"],
    [
      "a million bad messages",
      { messages: Array.from({ length: 1_000_000 }, () => 1) },
      "messages must have at most 4096 entries, but it is a list of 1000000",
    ],
    [
      "a million bad stop tokens",
      { messages, stop_token_ids: Array.from({ length: 1_000_000 }, () => -1) },
      "stop_token_ids must have at most 64 entries, but it is a list of 1000000",
    ],
    [
      "very many biases",
      { messages, logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, key) => [key, 1])) },
      "logit_bias must have at most 1024 entries, but it is an object",
    ],
    [
      "a bias twice",
      { messages, logit_bias: { "065": 1 } },
      "logit_bias.065 is a key that is not a token id, but it is 1",
    ],
    [
      "a bias that is text",
      { messages, logit_bias: { 65: "x" } },
      'logit_bias.65 must be a number, but it is "x"',
    ],
    [
      "very much beside the content",
      { messages: [{ role: "user", content: "Hi", reasoning_content: "x".repeat(2_100_000) }] },
      "the messages' fields other than content, with chat_template_kwargs, have 2100025 bytes of text; at most 2097152 are taken",
    ],
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
    ["truncate_prompt_tokens", 5],
    ["allowed_token_ids", [5]],
    ["bad_words", ["x"]],
    ["use_beam_search", true],
    ["length_penalty", 0.5],
    ["skip_special_tokens", false],
    ["chat_template", "{{ messages }}"],
    ["documents", [{ text: "x" }]],
    ["echo", true],
    ["mirostat", 2],
    ["dry_multiplier", 0.8],
    ["xtc_probability", 0.5],
    ["dynatemp_range", 0.5],
    ["samplers", ["top_k"]],
    ["n_probs", 3],
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
      skip_special_tokens: true,
      length_penalty: 1,
      use_beam_search: false,
      mirostat: 0,
      top_n_sigma: -1,
      xtc_probability: 0,
      echo: false,
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
