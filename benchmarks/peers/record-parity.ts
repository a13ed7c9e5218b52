/**
 * `npm run fixtures:parity`: records llama-server's greedy answers for test/model/parity.test.ts, one request at a time,
 * with the peers of benchmarks/peers/build.sh. Options: --model FILE.gguf, --flash-attn on|off|auto.
 */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { startChildServer } from "../engine/child-server.ts";
import { describeEnvironment } from "../engine/environment.ts";
import { findModel } from "../engine/model-file.ts";
import { findPeers } from "../engine/peers.ts";
import { parityPrompts } from "./parity-prompts.ts";
import type { ParityPrompt } from "./parity-prompts.ts";

/** One recorded answer. */
interface ParityCase extends ParityPrompt {
  readonly promptTokens: readonly number[];
  readonly outputTokens: readonly number[];
  /** Each output token's text; bytes that are no whole character appear as U+FFFD. */
  readonly outputTexts: readonly string[];
  readonly text: string;
  readonly finishReason: "stop" | "length";
  /** Positions of the output where the second-best token was nearly as probable as the chosen one. */
  readonly nearTies: readonly NearTie[];
}

interface NearTie {
  readonly position: number;
  readonly runnerUp: number;
  /** Difference of the two log-probabilities. */
  readonly gap: number;
}

interface TokenProbability {
  readonly id: number;
  readonly bytes: readonly number[];
  readonly logprob: number;
  readonly top_logprobs: readonly { readonly id: number; readonly logprob: number }[];
}

interface Completion {
  readonly content: string;
  readonly tokens: readonly number[];
  readonly stop_type: "eos" | "limit" | "word" | "none";
  readonly completion_probabilities: readonly TokenProbability[];
}

/** Differences of log-probabilities below which a choice is called a near-tie. */
const nearTieGap = 0.05;
const contextWindow = 2048;
const threads = 2;

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    "flash-attn": { type: "string", default: "on" },
    out: { type: "string" },
  },
});
const peersBin = findPeers();
const model = await findModel(values.model);
const flags = ["-np", "1", "-c", String(contextWindow), "-t", String(threads), "-fa", values["flash-attn"]];

const server = await startChildServer(`${peersBin}/llama-server`, (port) => [
  ...["-m", model, ...flags, "--no-webui", "--no-cache-prompt", "--port", String(port)],
]);

async function post<T>(path: string, body: object): Promise<T> {
  const response = await fetch(`${server.url}${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

function fail(message: string): never {
  throw new Error(message);
}

/**
 * The text of each token of an answer. Its probabilities leave out tokens that end within a character, and give the text of
 * those to the token that completes it, so the pieces of the text come first.
 */
async function tokenTexts(answer: Completion): Promise<Map<number, string>> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const { tokens } = await post<{ tokens: { id: number; piece: string | number[] }[] }>("/tokenize", {
    content: answer.content,
    with_pieces: true,
  });
  const texts = new Map(
    tokens.map(({ id, piece }) => [
      id,
      typeof piece === "string" ? piece : decoder.decode(Uint8Array.from(piece)),
    ]),
  );
  for (const { id, bytes } of answer.completion_probabilities) {
    if (!texts.has(id)) texts.set(id, decoder.decode(Uint8Array.from(bytes)));
  }
  return texts;
}

/** The near-ties of an answer, as far as probabilities were reported. */
function nearTies(answer: Completion): NearTie[] {
  const found: NearTie[] = [];
  let position = 0;
  for (const { id, logprob, top_logprobs } of answer.completion_probabilities) {
    while (position < answer.tokens.length && answer.tokens[position] !== id) position++;
    const second = top_logprobs[1];
    const gap = second === undefined ? Infinity : logprob - second.logprob;
    if (second !== undefined && gap <= nearTieGap) {
      found.push({ position, runnerUp: second.id, gap: Number(gap.toFixed(5)) });
    }
    position++;
  }
  return found;
}

async function record(prompt: ParityPrompt): Promise<ParityCase> {
  const { messages, maxTokens } = prompt;
  const content =
    messages === undefined
      ? (prompt.prompt ?? "")
      : (await post<{ prompt: string }>("/apply-template", { messages })).prompt;
  const { tokens } = await post<{ tokens: number[] }>("/tokenize", {
    content,
    add_special: true,
    parse_special: true,
  });
  const answer = await post<Completion>("/completion", {
    ...{ prompt: tokens, n_predict: maxTokens, temperature: 0, cache_prompt: false },
    ...{ n_probs: 2, return_tokens: true },
  });
  // the token that ended the generation is reported, but is no part of the answer
  const isEos = answer.stop_type === "eos";
  const outputTokens = isEos ? answer.tokens.slice(0, -1) : answer.tokens;
  const texts = await tokenTexts(answer);
  return {
    ...prompt,
    promptTokens: tokens,
    outputTokens,
    outputTexts: outputTokens.map(
      (id) => texts.get(id) ?? fail(`${prompt.name}: no text of token ${id} is known`),
    ),
    text: answer.content,
    finishReason: isEos ? "stop" : "length",
    nearTies: nearTies(answer),
  };
}

/** JSON with each array of numbers or strings on one line. */
function format(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(
    /\[\n\s+((?:-?[\d.]+|"(?:[^"\\]|\\.)*")(?:,\n\s+(?:-?[\d.]+|"(?:[^"\\]|\\.)*"))*)\n\s+\]/g,
    (_, items: string) => `[${items.replaceAll(/,\n\s+/g, ", ")}]`,
  );
}

try {
  const cases: ParityCase[] = [];
  for (const prompt of parityPrompts) {
    const each = await record(prompt);
    cases.push(each);
    process.stderr.write(
      `${each.name}: ${each.promptTokens.length} + ${each.outputTokens.length} tokens, ${each.finishReason}, near-ties ${JSON.stringify(each.nearTies)}\n`,
    );
  }
  const environment = describeEnvironment({ model, peersBin, threads, inkstoneArgs: [] });
  const fixture = {
    about: "Greedy answers of llama-server, one request at a time; made by `npm run fixtures:parity`.",
    modelSha256: environment.modelSha256,
    llamaServer: environment.llamaServer,
    library: environment.platformPackage,
    processor: environment.processor,
    flags: flags.join(" "),
    nearTieGap,
    cases,
  };
  const directory = new URL("../../../test/fixtures/parity/", import.meta.url);
  await mkdir(directory, { recursive: true });
  const file = values.out ?? new URL("smollm2-greedy.json", directory).pathname;
  await writeFile(`${file}.part`, `${format(fixture)}\n`);
  await rename(`${file}.part`, file);
} finally {
  await server.stop();
}
