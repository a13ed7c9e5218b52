/** POST /tokenize and POST /detokenize, in the forms of vLLM and of llama-server. */
import type { Hono } from "hono";
import { detokenize } from "../../chat/detokenizer.ts";
import { toTokenText } from "../../chat/logprob-text.ts";
import { vocabularyText } from "../../chat/vocabulary-text.ts";
import type { EngineClient } from "../../engine/client.ts";
import type { TokenId } from "../../engine/types.ts";
import { InkstoneError } from "../../errors.ts";
import { chatTemplateOf } from "../chat-templates.ts";
import type { AppDeps, AppEnv } from "../deps.ts";
import { findModel } from "../generation/find-model.ts";
import { checkMessages } from "../openai/chat/check-messages.ts";
import { tokenizeSegments, toRenderOptions } from "../openai/chat/convert.ts";
import { readJsonBody } from "../read-json-body.ts";
import { validate } from "../validation.ts";
import { detokenizeSchema, tokenizeSchema } from "./schema.ts";
import type { TokenizeBody } from "./schema.ts";

/** Adds the routes. */
export function addTokenizeRoutes(app: Hono<AppEnv>, deps: AppDeps): void {
  app.post("/tokenize", async (c) => {
    const body = validate(tokenizeSchema, await readJsonBody(c.req.raw, deps.settings));
    const { name, client } = findModel(deps.engines, body.model);
    c.get("record").model = name;
    const tokens = await toTokens(body, client);
    if (typeof body.content === "string") {
      return c.json({
        tokens: body.with_pieces ? tokens.map((token) => toPiece(client, token)) : tokens,
      });
    }
    return c.json({
      count: tokens.length,
      max_model_len: client.info.contextWindow,
      tokens,
      token_strs: body.return_token_strs
        ? tokens.map((token) => toTokenText(client.vocabulary, token).token)
        : null,
    });
  });

  app.post("/detokenize", async (c) => {
    const body = validate(detokenizeSchema, await readJsonBody(c.req.raw, deps.settings));
    const { name, client } = findModel(deps.engines, body.model);
    c.get("record").model = name;
    const text = detokenize(client.vocabulary, body.tokens, { includeControl: true });
    return c.json({ prompt: text, content: text });
  });
}

async function toTokens(body: TokenizeBody, client: EngineClient): Promise<TokenId[]> {
  const inputs = (["prompt", "messages", "content"] as const).filter(
    (name) => body[name] !== null && body[name] !== undefined,
  );
  if (inputs.length !== 1) {
    throw new InkstoneError(
      "invalid_request",
      `exactly one of prompt, messages and content must be given; ${inputs.length === 0 ? "none was" : `${inputs.join(" and ")} were`}`,
      { param: inputs[1] ?? "prompt" },
    );
  }
  const parseSpecial = body.parse_special ?? true;
  if (typeof body.content === "string") {
    return client.tokenize(body.content, { addSpecial: body.add_special ?? false, parseSpecial });
  }
  if (typeof body.prompt === "string") {
    return client.tokenize(body.prompt, { addSpecial: body.add_special_tokens ?? true, parseSpecial });
  }
  const promptBody = { ...body, messages: body.messages ?? [] };
  checkMessages(promptBody, client.vocabulary, client.info.contextWindow);
  const rendered = chatTemplateOf(client.vocabulary).render(toRenderOptions(promptBody));
  const addSpecial = body.add_special_tokens ?? rendered.addSpecial;
  return tokenizeSegments(client, rendered.segments, addSpecial);
}

/** llama-server's form: the text, or the bytes where they are no text. */
function toPiece({ vocabulary }: EngineClient, id: TokenId): { id: TokenId; piece: string | number[] } {
  const view = vocabularyText(vocabulary);
  return { id, piece: view.text(id) ?? [...view.bytes(id)] };
}
