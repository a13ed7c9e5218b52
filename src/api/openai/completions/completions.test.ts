import { describe, expect, test } from "vitest";
import { createTestApp } from "../../../../test/support/api-request.ts";
import type { Json } from "../../../../test/support/api-request.ts";
import { bytesToText } from "../../../../test/support/fake-vocabulary.ts";

const path = "/v1/completions";

describe("prompts", () => {
  test.each<[string, unknown, string[]]>([
    ["a text", "ab", ["ab"]],
    ["texts", ["ab", "c"], ["ab", "c"]],
    ["tokens", [97, 98], ["ab"]],
    ["lists of tokens", [[97], [98, 99]], ["a", "bc"]],
  ])("%s", async (_name, prompt, texts) => {
    const { postOk, engine } = createTestApp({
      reply: (request) => bytesToText(request.promptTokens).toUpperCase(),
    });
    const answer = await postOk(path, { prompt });
    expect(engine.requests.map((request) => bytesToText(request.promptTokens))).toEqual(texts);
    expect(answer.choices.map((choice: Json) => choice.text)).toEqual(
      texts.map((text) => text.toUpperCase()),
    );
    expect(answer.choices.map((choice: Json) => choice.index)).toEqual(texts.map((_, index) => index));
    expect(answer.usage.prompt_tokens).toBe(texts.join("").length);
  });

  test("n choices for each of several prompts, each prompt counted once", async () => {
    const { postOk } = createTestApp({ reply: (request) => request.id.slice(-1) });
    const answer = await postOk(path, { prompt: ["ab", "c"], n: 2 });
    expect(answer.choices.map((choice: Json) => choice.text)).toEqual(["0", "1", "2", "3"]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 4 });
  });

  test("control texts in a prompt are read as control tokens", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, { prompt: "<|im_start|>a" });
    expect(engine.requests[0]?.promptTokens).toEqual([256, 97]);
  });

  test.each<[string, unknown, string]>([
    ["missing", undefined, "prompt is missing: it must be a string or a list"],
    ["an empty list", [], "prompt must have at least 1 entries, but it is a list of 0"],
    ["an empty text", "", "the prompt is empty"],
    [
      "tokens outside the vocabulary",
      [1, 300],
      "prompt holds the token 300, but the model's vocabulary has 259 tokens",
    ],
    ["texts and tokens mixed", ["a", 1], "prompt[1] must be a string, but it is 1"],
  ])("%s is refused", async (_name, prompt, message) => {
    const error = await createTestApp().postError(path, { prompt });
    expect(error).toMatchObject({
      status: 400,
      code: "invalid_request",
      message,
      param: expect.stringMatching(/^prompt/),
    });
  });

  test("too long, as text and as tokens", async () => {
    const { postError } = createTestApp({ contextWindow: 10 });
    for (const prompt of ["x".repeat(10), Array.from({ length: 10 }, () => 97)]) {
      const error = await postError(path, { prompt });
      expect(error).toMatchObject({ code: "context_length_exceeded", param: "prompt" });
      expect(error.message).toContain("length is 10 tokens. However, your prompt resulted in 10 tokens");
    }
  });
});

describe("answers", () => {
  test("OpenAI's shape, 16 tokens by default", async () => {
    const { postOk } = createTestApp({ reply: "x".repeat(50) });
    expect(await postOk(path, { prompt: "a" })).toMatchObject({
      id: expect.stringMatching(/^cmpl-/),
      object: "text_completion",
      choices: [{ index: 0, text: "x".repeat(16), logprobs: null, finish_reason: "length" }],
      usage: { completion_tokens: 16 },
    });
  });

  test("streamed", async () => {
    const { postStream } = createTestApp({ reply: "né" });
    const events = await postStream(path, { prompt: "a", stream_options: { include_usage: true } });
    expect(events.map((event) => event.choices[0]?.text ?? "").join("")).toBe("né");
    expect(events.at(-2)?.choices[0]).toEqual({ index: 0, text: "", logprobs: null, finish_reason: "stop" });
    expect(events.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3 } });
  });

  test("log-probabilities as lists", async () => {
    const { postOk } = createTestApp({ reply: "éA" });
    const answer = await postOk(path, { prompt: "a", logprobs: 1 });
    expect(answer.choices[0].logprobs).toEqual({
      tokens: ["\ufffd", "\ufffd", "A"],
      token_logprobs: [-0.5, -0.5, -0.5],
      top_logprobs: [{ "\ufffd": -0.5 }, { "\ufffd": -0.5 }, { A: -0.5 }],
      text_offset: [0, 0, 1],
    });
  });

  test("offsets are those of the text, whatever the tokens are", async () => {
    const reply = "🙂é你!";
    const { postOk, postStream } = createTestApp({ reply });
    const bytes = [4, 2, 3, 1];
    const offsets = (start: number) =>
      bytes.flatMap((n, index) => Array.from({ length: n }, () => start + index));
    const whole = await postOk(path, { prompt: "a", logprobs: 0 });
    expect(whole.choices[0].logprobs.text_offset).toEqual(offsets(0));
    const events = await postStream(path, { prompt: "🙂<|im_end|>", logprobs: 0, echo: true });
    const streamed = events.flatMap((event) => event.choices[0].logprobs?.text_offset ?? []);
    expect(streamed).toEqual([0, 0, 0, 0, 1, ...offsets(11)]);
  });
});

describe("echo", () => {
  test("the prompt comes first, whole and streamed", async () => {
    const { postOk, postStream } = createTestApp({ reply: "b" });
    expect((await postOk(path, { prompt: "aé", echo: true })).choices[0].text).toBe("aéb");
    const events = await postStream(path, { prompt: [97, 97], echo: true });
    expect(events.map((event) => event.choices[0].text)).toEqual(["aa", "b", ""]);
  });

  test("with logprobs the prompt's too, null for the first: what evaluation tools read", async () => {
    const { postOk, engine } = createTestApp();
    const body = { prompt: "abc", echo: true, logprobs: 1, max_tokens: 0 };
    const answer = await postOk(path, body);
    expect(engine.requests[0]).toMatchObject({ maxTokens: 0, promptLogprobs: 1 });
    expect(answer.choices[0]).toMatchObject({
      text: "abc",
      finish_reason: "length",
      logprobs: {
        tokens: ["a", "b", "c"],
        token_logprobs: [null, -0.5, -0.5],
        top_logprobs: [null, { b: -0.5 }, { c: -0.5 }],
        text_offset: [0, 1, 2],
      },
    });
  });

  test("streamed with logprobs: one event for the prompt, then the answer's go on behind it", async () => {
    const { postStream } = createTestApp({ reply: "c" });
    const events = await postStream(path, { prompt: "ab", echo: true, logprobs: 0 });
    expect(events[0]?.choices[0]).toMatchObject({ text: "ab", logprobs: { text_offset: [0, 1] } });
    expect(events[1]?.choices[0]).toMatchObject({ text: "c", logprobs: { text_offset: [2] } });
  });

  test("one choice of each prompt computes the prompt's logprobs; all tell them, before their own text", async () => {
    const { postOk, postStream, engine } = createTestApp({ reply: "x" });
    const body = { prompt: ["ab", "cd"], n: 3, echo: true, logprobs: 0, prompt_logprobs: 0 };
    const whole = await postOk(path, body);
    expect(engine.requests.map((request) => request.promptLogprobs)).toEqual([0, -1, -1, 0, -1, -1]);
    for (const [index, choice] of whole.choices.entries()) {
      expect(choice.text).toBe(index < 3 ? "abx" : "cdx");
      expect(choice.logprobs.token_logprobs).toEqual([null, -0.5, -0.5]);
      expect(choice.prompt_logprobs).toHaveLength(2);
    }
    const events = await postStream(path, body);
    const textOf = (index: number) =>
      events.filter((event) => event.choices[0].index === index).map((event) => event.choices[0].text);
    expect(textOf(2)).toEqual(["ab", "x", ""]);
    expect(textOf(5)).toEqual(["cd", "x", ""]);
  });

  test("max_tokens 0 may fill the window exactly", async () => {
    const { postOk } = createTestApp({ contextWindow: 3 });
    expect((await postOk(path, { prompt: "abc", echo: true, max_tokens: 0 })).choices[0].text).toBe("abc");
  });
});

describe("sharing", () => {
  test("the biases of all choices are one list", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, { prompt: ["a", "b"], n: 2, seed: 5, logit_bias: { 65: 1 } });
    const lists = new Set(engine.requests.map((request) => request.sampling.logitBias));
    expect(lists.size).toBe(1);
    expect(engine.requests.map((request) => request.sampling.seed)).toEqual([5, 6, 5, 6]);
  });

  test("n_predict is max_tokens, which wins", async () => {
    const { postOk, engine } = createTestApp();
    await postOk(path, { prompt: "a", n_predict: 3 });
    await postOk(path, { prompt: "a", n_predict: 3, max_tokens: 4 });
    await postOk("/v1/chat/completions", { messages: [{ role: "user", content: "a" }], n_predict: 5 });
    expect(engine.requests.map((request) => request.maxTokens)).toEqual([3, 4, 5]);
  });
});

describe("refusals", () => {
  test("very many bad tokens: one error, found at the first", async () => {
    const prompt = Array.from({ length: 1_000_000 }, () => -1);
    const error = await createTestApp().postError(path, { prompt });
    expect(error).toMatchObject({ status: 400, message: "prompt[0] must be at least 0, but it is -1" });
  });

  test("too many choices are refused before a prompt is tokenised", async () => {
    const { postError, engine } = createTestApp();
    await postError(path, { prompt: Array.from({ length: 100 }, () => "a"), n: 100 });
    expect(engine.nTokenized).toBe(0);
  });

  test.each<[string, object, string, string]>([
    ["suffix", { suffix: "x" }, "unsupported_parameter", "suffix"],
    ["best_of beyond n", { best_of: 3 }, "unsupported_parameter", "best_of"],
    ["max_tokens 0 without echo", { max_tokens: 0 }, "invalid_request", "max_tokens"],
    ["logprobs a boolean", { logprobs: true }, "invalid_request", "logprobs"],
    ["too many choices", { prompt: Array.from({ length: 100 }, () => "a"), n: 100 }, "invalid_request", "n"],
  ])("%s", async (_name, body, code, param) => {
    const error = await createTestApp().postError(path, { prompt: "a", ...body });
    expect(error).toMatchObject({ status: 400, code, param });
  });

  test("best_of equal to n is fine", async () => {
    await createTestApp().postOk(path, { prompt: "a", n: 2, best_of: 2 });
  });
});
