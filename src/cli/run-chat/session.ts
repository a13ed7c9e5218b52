import { InkstoneError } from "../../errors.ts";
import { responseError } from "./chat-client.ts";
import type { ApiRequest } from "./chat-client.ts";

/** A model that answers chats: of a running server, or of an engine that lives as long as the command. */
export interface ChatSession {
  readonly request: ApiRequest;
  /** The model's name in the API. */
  readonly model: string;
  close(): Promise<void>;
}

/** A session with a running server; without a model named, the first one that it serves. */
export async function openRemoteSession(
  request: ApiRequest,
  model: string | null,
  signal: AbortSignal,
): Promise<ChatSession> {
  const close = async (): Promise<void> => {};
  if (model !== null) return { request, model, close };
  const response = await request("/v1/models", { signal });
  if (!response.ok) throw await responseError(response);
  const { data } = (await response.json()) as { data?: readonly { id: string }[] };
  const first = data?.[0]?.id;
  if (first === undefined) throw new InkstoneError("model_not_found", "the server serves no model");
  return { request, model: first, close };
}
