/**
 * Greedy answers against llama-server's, which were recorded by `npm run fixtures:parity` with the same library, kernels and
 * flash attention setting.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { servedModel, startServer } from "../integration/server.ts";
import type { RunningServer } from "../integration/server.ts";

interface ParityCase {
  readonly name: string;
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
  readonly prompt?: string;
  readonly maxTokens: number;
  readonly promptTokens: readonly number[];
  readonly outputTokens: readonly number[];
  readonly outputTexts: readonly string[];
  readonly text: string;
  readonly finishReason: string;
}

interface Completion {
  readonly choices: readonly {
    readonly text?: string;
    readonly message?: { readonly content: string };
    readonly finish_reason: string;
    readonly logprobs: {
      readonly tokens?: readonly string[];
      readonly content?: readonly { readonly token: string }[];
    };
    readonly prompt_logprobs?: readonly (Readonly<Record<string, { readonly rank: number | null }>> | null)[];
  }[];
  readonly usage: { readonly prompt_tokens: number };
}

const fixture = JSON.parse(
  readFileSync(new URL("../fixtures/parity/smollm2-greedy.json", import.meta.url), "utf8"),
) as { readonly flags: string; readonly cases: readonly ParityCase[] };

const flashAttn = /-fa (\w+)/.exec(fixture.flags)?.[1] ?? "auto";
const concurrency = 16;
const leastAgreement = 0.995;

let server: RunningServer;

beforeAll(async () => {
  server = await startServer({
    args: ["--context-window", "2048", "--max-num-seqs", String(concurrency), "--flash-attn", flashAttn],
  });
});

afterAll(async () => {
  await server?.stop();
});

async function post(path: string, body: object): Promise<Completion> {
  const response = await fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: servedModel, temperature: 0, ...body }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return JSON.parse(text) as Completion;
}

/**
 * Sends a case as its author would: a chat through the model's template, a text as it is. Its prompt is computed whole, as
 * it was when it was recorded: attention over a long prompt rounds differently when it begins in the middle.
 */
async function answer({ name, messages, prompt, maxTokens }: ParityCase) {
  const common = { max_tokens: maxTokens, cache_salt: name };
  const { choices, usage } =
    messages === undefined
      ? await post("/v1/completions", { ...common, prompt, logprobs: 0 })
      : await post("/v1/chat/completions", { ...common, messages, logprobs: true });
  const [choice] = choices;
  if (choice === undefined) throw new Error("no choice came");
  return {
    text: choice.text ?? choice.message?.content,
    tokens: choice.logprobs.tokens ?? choice.logprobs.content?.map(({ token }) => token) ?? [],
    finishReason: choice.finish_reason,
    promptTokens: usage.prompt_tokens,
  };
}

/** How many of an answer's tokens are the most probable ones, given the prompt and the tokens before them. */
async function countAgreeing({ promptTokens, outputTokens }: ParityCase): Promise<number> {
  const { choices } = await post("/v1/completions", {
    prompt: [...promptTokens, ...outputTokens],
    max_tokens: 0,
    echo: true,
    prompt_logprobs: 1,
  });
  const all = choices[0]?.prompt_logprobs ?? [];
  expect(all).toHaveLength(promptTokens.length + outputTokens.length);
  return outputTokens.filter((token, index) => all[promptTokens.length + index]?.[token]?.rank === 1).length;
}

test("the fixture holds 20 prompts of under 400 tokens", () => {
  expect(fixture.cases).toHaveLength(20);
  for (const { promptTokens } of fixture.cases) expect(promptTokens.length).toBeLessThan(400);
});

describe("one request at a time", () => {
  test.each(fixture.cases)("$name: equals llama-server token for token", async (each) => {
    const { text, tokens, finishReason, promptTokens } = await answer(each);
    expect(promptTokens).toBe(each.promptTokens.length);
    expect(tokens.slice(0, each.outputTexts.length)).toEqual(each.outputTexts);
    expect(text).toBe(each.text);
    expect(finishReason).toBe(each.finishReason);
  });
});

test(`${concurrency} at once: teacher-forced, at least ${100 * leastAgreement}% of the tokens are the same`, async () => {
  const waiting = [...fixture.cases];
  const counts: number[] = [];
  const work = async (): Promise<void> => {
    for (let each = waiting.shift(); each !== undefined; each = waiting.shift()) {
      counts.push(await countAgreeing(each));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  const agreeing = counts.reduce((sum, count) => sum + count, 0);
  const total = fixture.cases.reduce((sum, { outputTokens }) => sum + outputTokens.length, 0);
  expect(agreeing / total).toBeGreaterThanOrEqual(leastAgreement);
});
