/** The tokeniser's processes, with scripted children. */
import { expect, test } from "vitest";

import { longTextLength } from "../../src/engine/host/tokenizer-lanes.ts";
import { startHost, until } from "./host-harness.ts";
import { isRunning } from "./processes.ts";

const plain = { addSpecial: false, parseSpecial: false };

test("texts become tokens, and the vocabulary's bytes turn them back", async () => {
  const { host } = await startHost();
  const text = "墨 <|end|> ink";
  const tokens = await host.tokenize(text, plain);
  const { pieces, offsets } = host.vocabulary;
  const bytes = tokens.map((token) => Buffer.from(pieces.subarray(offsets[token], offsets[token + 1])));
  expect(Buffer.concat(bytes).toString()).toBe(text);
  expect(await host.tokenize("a<|end|>", { addSpecial: false, parseSpecial: true })).toEqual([97, 256]);
  expect(host.vocabulary.nTokens).toBe(257);
});

test("a grammar is accepted or refused", async () => {
  const { host } = await startHost();
  await host.checkGrammar('root ::= "a"');
  await expect(host.checkGrammar("other")).rejects.toMatchObject({ code: "invalid_grammar" });
});

test("a call that takes too long is the only one that fails", async () => {
  const { host } = await startHost({ tokenizeTimeoutMs: 300, scripted: { hangOnText: "hang" } });
  const [before, hanging, after] = await Promise.allSettled(
    ["a", "hang", "b"].map((text) => host.tokenize(text, plain)),
  );
  expect(before).toMatchObject({ value: [97] });
  expect(hanging).toMatchObject({ reason: { code: "tokenizer_timeout" } });
  expect(after).toMatchObject({ value: [98] });
});

test("neither a long text nor a grammar holds up a short text", async () => {
  const { host } = await startHost({
    tokenizeTimeoutMs: 60_000,
    grammarTimeoutMs: 60_000,
    scripted: { hangOnText: "hang" },
  });
  const settled: string[] = [];
  void host.tokenize("hang".repeat(longTextLength), plain).catch(() => settled.push("long"));
  void host.checkGrammar("hang").catch(() => settled.push("grammar"));
  expect(await host.tokenize("a", plain)).toEqual([97]);
  expect(settled).toEqual([]);
});

test("a tokeniser that was killed is started again", async () => {
  const { host } = await startHost();
  const [pid] = host.tokenizerPids;
  process.kill(pid ?? 0, "SIGKILL");
  await until(() => !isRunning(pid ?? 0));
  expect(await host.tokenize("a", plain)).toEqual([97]);
});

test("an input that kills the tokeniser fails alone", async () => {
  const { host } = await startHost({ scripted: { crashOnText: "die" } });
  const [text, grammar, other] = await Promise.allSettled([
    host.tokenize("die", plain),
    host.checkGrammar("die"),
    host.tokenize("b", plain),
  ]);
  expect(text).toMatchObject({ reason: { code: "internal_error" } });
  expect(grammar).toMatchObject({ reason: { code: "invalid_grammar" } });
  expect(other).toMatchObject({ value: [98] });
});
