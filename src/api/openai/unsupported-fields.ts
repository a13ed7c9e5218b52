/**
 * Fields of other servers that this one knows and does not offer. Ignoring them would give an answer of another kind than
 * was asked for, so they are errors unless they have their neutral value.
 */
import { InkstoneError } from "../../errors.ts";

const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0);

type NeutralTest = (value: unknown) => boolean;

const isTextFormat: NeutralTest = (value) =>
  isEmpty(value) || (typeof value === "object" && value !== null && "type" in value && value.type === "text");
const isTextModality: NeutralTest = (value) =>
  isEmpty(value) || (Array.isArray(value) && value.every((entry) => entry === "text"));
const isNoChoice: NeutralTest = (value) => isEmpty(value) || value === "none" || value === "auto";
const isZeroOrEmpty: NeutralTest = (value) => isEmpty(value) || value === 0;
const isOffOrEmpty: NeutralTest = (value) => isEmpty(value) || value === false;
const isOnOrEmpty: NeutralTest = (value) => isEmpty(value) || value === true;
const isOneOrEmpty: NeutralTest = (value) => isEmpty(value) || value === 1;

const commonFields: Readonly<Record<string, NeutralTest>> = {
  response_format: isTextFormat,
  json_schema: isEmpty,
  structured_outputs: isEmpty,
  guided_json: isEmpty,
  guided_regex: isEmpty,
  guided_choice: isEmpty,
  guided_grammar: isEmpty,
  lora: isEmpty,
  min_tokens: isZeroOrEmpty,
  // vLLM
  allowed_token_ids: isEmpty,
  bad_words: isEmpty,
  length_penalty: isOneOrEmpty,
  skip_special_tokens: isOnOrEmpty,
  spaces_between_special_tokens: isOnOrEmpty,
  truncate_prompt_tokens: isEmpty,
  use_beam_search: isOffOrEmpty,
  // llama-server
  dry_multiplier: isZeroOrEmpty,
  dynatemp_range: isZeroOrEmpty,
  min_keep: isZeroOrEmpty,
  mirostat: isZeroOrEmpty,
  n_probs: isZeroOrEmpty,
  samplers: isEmpty,
  t_max_predict_ms: isZeroOrEmpty,
  top_n_sigma: (value) => isZeroOrEmpty(value) || value === -1,
  xtc_probability: isZeroOrEmpty,
};

const chatFields: Readonly<Record<string, NeutralTest>> = {
  ...commonFields,
  tools: isEmpty,
  tool_choice: isNoChoice,
  functions: isEmpty,
  function_call: isNoChoice,
  audio: isEmpty,
  chat_template: isEmpty,
  documents: isEmpty,
  echo: isOffOrEmpty,
  modalities: isTextModality,
  prediction: isEmpty,
  web_search_options: isEmpty,
};

const completionFields: Readonly<Record<string, NeutralTest>> = {
  ...commonFields,
  suffix: (value) => isEmpty(value) || value === "",
  prompt_embeds: isEmpty,
};

/** Throws `unsupported_parameter` for the first known field that is asked for and not offered. */
export function rejectUnsupportedFields(body: unknown, endpoint: "chat" | "completions"): void {
  if (typeof body !== "object" || body === null) return;
  const fields = endpoint === "chat" ? chatFields : completionFields;
  for (const [name, value] of Object.entries(body)) {
    const isNeutral = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (isNeutral === undefined || isNeutral(value)) continue;
    throw new InkstoneError("unsupported_parameter", `${name} is not supported by this server`, {
      param: name,
    });
  }
}
