/** Errors of the table in OpenAI's envelope. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { InkstoneError } from "../errors.ts";
import type { AppEnv } from "./deps.ts";

/** Body of every error answer, and of an error event in a stream. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    /** What to do next; not in OpenAI's envelope. */
    readonly hint: string;
  };
}

/** The envelope of an error. */
export function toErrorBody(error: InkstoneError): ErrorBody {
  return {
    error: {
      message: error.message,
      type: error.row.type,
      param: error.param ?? null,
      code: error.code,
      hint: error.hint,
    },
  };
}

/** Any thrown value as an error that may be shown: what is not of the table hides its own message. */
export function toPublicError(error: unknown, requestId: string): InkstoneError {
  if (error instanceof InkstoneError) return error;
  return new InkstoneError("internal_error", `the server failed on this request (request id ${requestId})`, {
    cause: error,
  });
}

/** The answer for an error, with the headers that belong to its status. */
export function toErrorResponse(c: Context<AppEnv>, error: InkstoneError): Response {
  const { status } = error.row;
  if (status === 401) c.header("WWW-Authenticate", "Bearer");
  if (status === 429 || status === 503) {
    c.header("Retry-After", String(Math.max(1, Math.ceil(error.retryAfterS ?? 1))));
  }
  // The rest of the body was not read, so the connection cannot be used again.
  if (status === 408 || status === 413) c.header("Connection", "close");
  return c.json(toErrorBody(error), status as ContentfulStatusCode);
}
