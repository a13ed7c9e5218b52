import { describe, expect, test } from "vitest";
import { createTestApp } from "../../../test/support/api-request.ts";

describe("/tokenize", () => {
  test("vLLM's form", async () => {
    const { postOk } = createTestApp({ contextWindow: 77 });
    expect(await postOk("/tokenize", { prompt: "ab" })).toEqual({
      count: 2,
      max_model_len: 77,
      tokens: [97, 98],
      token_strs: null,
    });
    expect(await postOk("/tokenize", { prompt: "aé", return_token_strs: true })).toMatchObject({
      token_strs: ["a", "\ufffd", "\ufffd"],
    });
  });

  test("vLLM's form with messages: what a chat request would send", async () => {
    const { postOk, engine } = createTestApp();
    const messages = [{ role: "user", content: "Hi" }];
    const { tokens } = await postOk("/tokenize", { messages });
    await postOk("/v1/chat/completions", { messages });
    expect(tokens).toEqual(engine.requests[0]?.promptTokens);
    const shorter = await postOk("/tokenize", { messages, add_generation_prompt: false });
    expect(shorter.count).toBeLessThan(tokens.length);
  });

  test("llama-server's form", async () => {
    const { postOk } = createTestApp();
    expect(await postOk("/tokenize", { content: "ab" })).toEqual({ tokens: [97, 98] });
    expect(await postOk("/tokenize", { content: "aé", with_pieces: true })).toEqual({
      tokens: [
        { id: 97, piece: "a" },
        { id: 0xc3, piece: [0xc3] },
        { id: 0xa9, piece: [0xa9] },
      ],
    });
    expect(await postOk("/tokenize", { content: "<|im_end|>" })).toEqual({ tokens: [257] });
    const asText = await postOk("/tokenize", { content: "<|im_end|>", parse_special: false });
    expect(asText.tokens).toHaveLength(10);
  });

  test.each([
    [{}, "exactly one of prompt, messages and content must be given; none was"],
    [
      { prompt: "a", content: "b" },
      "exactly one of prompt, messages and content must be given; prompt and content were",
    ],
    [{ prompt: 5 }, "prompt must be a string, but it is 5"],
  ])("%j is refused", async (body, message) => {
    const error = await createTestApp().postError("/tokenize", body);
    expect(error).toMatchObject({ status: 400, code: "invalid_request", message });
  });
});

test("messages that could not be sent to a chat are not rendered here either", async () => {
  const { postError } = createTestApp({ contextWindow: 20 });
  const messages = Array.from({ length: 20 }, () => ({ role: "user" }));
  for (const path of ["/tokenize", "/v1/chat/completions"]) {
    const error = await postError(path, { messages });
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    expect(error.message).toContain("resulted in at least 20 tokens");
  }
});

describe("/detokenize", () => {
  test("more tokens than are decoded in one go", async () => {
    const tokens = Array.from({ length: 262_145 }, () => 97);
    const error = await createTestApp().postError("/detokenize", { tokens });
    expect(error.message).toBe("tokens must have at most 262144 entries, but it is a list of 262145");
  });

  test("both forms of the answer, control tokens shown", async () => {
    const { postOk } = createTestApp();
    expect(await postOk("/detokenize", { tokens: [256, 97, 0xc3, 0xa9] })).toEqual({
      prompt: "<|im_start|>aé",
      content: "<|im_start|>aé",
    });
  });

  test("a token outside the vocabulary", async () => {
    const error = await createTestApp().postError("/detokenize", { tokens: [5, 999] });
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param: "tokens" });
    expect(error.message).toContain("999");
  });
});
