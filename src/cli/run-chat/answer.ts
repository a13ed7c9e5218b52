/** One answer, written as it comes. */
import type { OutputStream } from "../context.ts";
import { streamChat } from "./chat-client.ts";
import type { ChatRequest, ChatResult, ChatSink } from "./chat-client.ts";
import type { ChatSession } from "./session.ts";

/** Writes an answer to `output`, reasoning dimmed on a terminal and left out elsewhere; ends with a line break.
 * `onContent` gets the answer's text too, also of one that is stopped. */
export async function writeAnswer(
  session: ChatSession,
  request: Omit<ChatRequest, "model">,
  output: OutputStream,
  signal: AbortSignal,
  onContent: (text: string) => void = () => {},
): Promise<ChatResult> {
  let reasoning = false;
  let lastCharacter = "\n";
  const write = (text: string, shown: string): void => {
    lastCharacter = text.at(-1) ?? lastCharacter;
    output.write(shown);
  };
  const sink: ChatSink = {
    reasoning(text) {
      if (!output.isTerminal) return;
      reasoning = true;
      write(text, output.palette.dim(text));
    },
    content(text) {
      if (reasoning) output.write(lastCharacter === "\n" ? "\n" : "\n\n");
      reasoning = false;
      onContent(text);
      write(text, text);
    },
  };
  try {
    return await streamChat(session.request, { ...request, model: session.model }, sink, signal);
  } finally {
    if (lastCharacter !== "\n") output.write("\n");
  }
}

/** The lines of `--verbose`: tokens, times and rates. */
export function describeTimings({
  promptTokens,
  completionTokens,
  cachedTokens,
  timings,
}: ChatResult): string {
  const lines: string[] = [];
  const number = (name: string): number | null => {
    const value = timings?.[name];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
  const part = (label: string, tokens: number | null, ms: number | null, rate: number | null): void => {
    const values = [
      tokens === null ? null : `${tokens} tokens`,
      ms === null ? null : `${ms.toFixed(0)} ms`,
      rate === null ? null : `${rate.toFixed(1)} tokens/s`,
    ].filter((value) => value !== null);
    if (values.length > 0) lines.push(`${label}${values.join(", ")}`);
  };
  const cached = cachedTokens ? ` (${cachedTokens} of the prompt's tokens were cached)` : "";
  part("prompt:  ", promptTokens, number("prompt_ms"), number("prompt_per_second"));
  if (lines.length > 0) lines[0] += cached;
  part("answer:  ", completionTokens, number("predicted_ms"), number("predicted_per_second"));
  return lines.map((line) => `${line}\n`).join("");
}
