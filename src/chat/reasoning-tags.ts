/** Which marks a model puts around its reasoning, read from its chat template. */

/** The marks of one family of models, without the whitespace around them. */
export interface ReasoningTags {
  readonly open: string;
  readonly close: string;
  /** Some families also wrap the answer; these marks are removed from it. */
  readonly contentOpen?: string;
  readonly contentClose?: string;
}

/** How the output of one prompt is to be read. */
export interface ReasoningMode {
  readonly tags: ReasoningTags;
  /** The prompt already holds the opening mark: the output begins inside the reasoning. */
  readonly startsInside: boolean;
}

interface Family {
  /** Texts that a template of this family holds, all of them. */
  readonly signs: readonly string[];
  readonly tags: ReasoningTags;
}

const responseTags: ReasoningTags = {
  open: "<think>",
  close: "</think>",
  contentOpen: "<response>",
  contentClose: "</response>",
};

/** The first that fits wins: specific families stand before general ones. */
const families: readonly Family[] = [
  // gpt-oss: channels instead of tags; <|end|> between them is a control token and not shown.
  {
    signs: ["<|channel|>analysis", "<|channel|>final"],
    tags: {
      open: "<|channel|>analysis<|message|>",
      close: "<|start|>assistant<|channel|>final<|message|>",
      contentOpen: "<|channel|>final<|message|>",
    },
  },
  // Gemma 4
  { signs: ["<|channel>thought"], tags: { open: "<|channel>thought", close: "<channel|>" } },
  // Cohere
  {
    signs: ["<|START_THINKING|>"],
    tags: {
      open: "<|START_THINKING|>",
      close: "<|END_THINKING|>",
      contentOpen: "<|START_RESPONSE|>",
      contentClose: "<|END_RESPONSE|>",
    },
  },
  // Mistral
  { signs: ["[THINK]", "[/THINK]"], tags: { open: "[THINK]", close: "[/THINK]" } },
  // Seed, MiniMax M3, Apriel, EXAONE
  { signs: ["<seed:think>"], tags: { open: "<seed:think>", close: "</seed:think>" } },
  { signs: ["<mm:think>"], tags: { open: "<mm:think>", close: "</mm:think>" } },
  { signs: ["<thinking>", "</thinking>"], tags: { open: "<thinking>", close: "</thinking>" } },
  { signs: ["<thought>", "</thought>"], tags: { open: "<thought>", close: "</thought>" } },
  // ERNIE 4.5 and 21B-A3B-Thinking, Granite 3: the answer stands in <response>
  { signs: ["</think>", "<response>"], tags: responseTags },
  { signs: ["think_mode=True"], tags: responseTags },
  // Qwen, DeepSeek, GLM, Kimi, Nemotron and others
  { signs: ["</think>"], tags: { open: "<think>", close: "</think>" } },
  { signs: ["<think>"], tags: { open: "<think>", close: "</think>" } },
];

/** The marks that a template speaks of; null for a model without reasoning. */
export function detectReasoningTags(templateSource: string): ReasoningTags | null {
  const family = families.find(({ signs }) => signs.every((sign) => templateSource.includes(sign)));
  return family?.tags ?? null;
}

/** Has the prompt been ended by the template with an open reasoning? `prompt` must end with a generation prompt. */
export function endsInsideReasoning(prompt: string, tags: ReasoningTags): boolean {
  return prompt.trimEnd().endsWith(tags.open);
}

/** Does the text (an answer to be continued) open a reasoning that it does not close? */
export function leavesReasoningOpen(text: string, tags: ReasoningTags): boolean {
  const open = text.lastIndexOf(tags.open);
  return open !== -1 && !text.includes(tags.close, open);
}
