/** From the engine's tokens to what an API gives its client: one object for each choice. */
import type { TokenId, VocabularyData } from "../engine/types.ts";
import { createDetokenizer } from "./detokenizer.ts";
import type { Detokenizer } from "./detokenizer.ts";
import { createReasoningSplitter } from "./reasoning-splitter.ts";
import type { ReasoningSplitter, SplitText } from "./reasoning-splitter.ts";
import type { ReasoningMode } from "./reasoning-tags.ts";
import { createStopMatcher } from "./stop-strings.ts";
import { vocabularyText } from "./vocabulary-text.ts";

export interface OutputStreamOptions {
  /** Stop strings; they are looked for in the content, not in the reasoning. */
  readonly stops?: readonly string[];
  /** Give out the stop string too. Default false. */
  readonly includeStop?: boolean;
  /** How to separate reasoning, from `RenderedPrompt.reasoning`; null or absent: everything is content. */
  readonly reasoning?: ReasoningMode | null;
}

/** What some tokens brought. */
export interface OutputDelta {
  readonly content: string;
  readonly reasoning: string;
  /** The stop string that ended the output, or null. After a match every later push is empty. */
  readonly stopped: string | null;
  /** How many of the pushed tokens were used; fewer than all when a stop string ended the output among them. */
  readonly usedTokens: number;
}

export interface OutputStream {
  /** Adds tokens. Throws `invalid_request` for an id outside the vocabulary. */
  push(tokens: readonly TokenId[]): OutputDelta;
  /** What was held back, when the engine has ended the request. */
  finish(): OutputDelta;
}

/** Detokenises, separates reasoning and looks for stop strings, for one choice of an answer. */
export function createOutputStream(
  vocabulary: VocabularyData,
  options: OutputStreamOptions = {},
): OutputStream {
  const { stops = [], includeStop = false, reasoning = null } = options;
  const detokenizer: Detokenizer = createDetokenizer(vocabulary, {
    visibleTokens: reasoning === null ? undefined : findTagTokens(vocabulary, reasoning),
  });
  const splitter: ReasoningSplitter | null = reasoning === null ? null : createReasoningSplitter(reasoning);
  const matcher = createStopMatcher(stops, { includeStop });
  let stopped: string | null = null;
  const hasStopped = (): boolean => stopped !== null;

  /** Takes text through the splitter and the matcher. */
  const take = (text: string): SplitText => {
    const split = splitter === null ? { reasoning: "", content: text } : splitter.push(text);
    if (split.content === "") return split;
    return { reasoning: split.reasoning, content: matchStops(split.content) };
  };
  const matchStops = (content: string): string => {
    const result = matcher.push(content);
    stopped = result.matched;
    return result.text;
  };

  return {
    push(tokens) {
      let content = "";
      let reasoningText = "";
      let usedTokens = 0;
      for (const token of tokens) {
        if (hasStopped()) break;
        usedTokens++;
        const text = detokenizer.push([token]);
        if (text === "") continue;
        const delta = take(text);
        content += delta.content;
        reasoningText += delta.reasoning;
      }
      return { content, reasoning: reasoningText, stopped, usedTokens };
    },
    finish() {
      if (hasStopped()) return { content: "", reasoning: "", stopped, usedTokens: 0 };
      const last = detokenizer.flush();
      const parts: SplitText[] = last === "" ? [] : [take(last)];
      if (!hasStopped() && splitter !== null) {
        const rest = splitter.flush();
        parts.push({ reasoning: rest.reasoning, content: matchStops(rest.content) });
      }
      const held = hasStopped() ? "" : matcher.flush();
      return {
        content: parts.map((part) => part.content).join("") + held,
        reasoning: parts.map((part) => part.reasoning).join(""),
        stopped,
        usedTokens: 0,
      };
    },
  };
}

/** Control tokens that are part of the reasoning marks: the splitter must see them. */
function findTagTokens(vocabulary: VocabularyData, { tags }: ReasoningMode): ReadonlySet<TokenId> {
  const marks = [tags.open, tags.close, tags.contentOpen ?? "", tags.contentClose ?? ""];
  const tokens = vocabularyText(vocabulary).controlTokens.filter(({ text }) =>
    marks.some((mark) => mark.includes(text)),
  );
  return new Set(tokens.map(({ token }) => token));
}
