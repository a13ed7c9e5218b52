/** Request bodies: size and time are limited while they are read. */
import { InkstoneError } from "../errors.ts";
import { checkBodyShape } from "./body-shape.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** For the whole body. */
  readonly requestTimeoutMs: number;
}

/**
 * The body as JSON. Throws `body_too_large` (by Content-Length before anything is read, else as soon as the limit is passed),
 * `request_timeout`, `invalid_json`, `invalid_request` for one that is nested too deeply or holds too many values, or
 * `interrupted` when the client went away.
 */
export async function readJsonBody(request: Request, limits: BodyLimits): Promise<unknown> {
  const bytes = await readBody(request, limits);
  if (bytes.byteLength === 0) throw new InkstoneError("invalid_json", "the body is empty");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new InkstoneError("invalid_json", "the body is not UTF-8", { cause: error });
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InkstoneError("invalid_json", `the body is not valid JSON: ${reason}`, { cause: error });
  }
  checkBodyShape(body);
  return body;
}

async function readBody(
  request: Request,
  { maxBodyBytes, requestTimeoutMs }: BodyLimits,
): Promise<Uint8Array> {
  const announcedBytes = Number(request.headers.get("content-length") ?? 0);
  if (announcedBytes > maxBodyBytes) {
    throw new InkstoneError(
      "body_too_large",
      `the body has ${announcedBytes} bytes; this server takes at most ${maxBodyBytes}`,
    );
  }
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void reader.cancel().catch(() => {});
  }, requestTimeoutMs);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) {
        throw new InkstoneError(
          "request_timeout",
          `the body had not arrived after ${requestTimeoutMs} ms; ${sizeBytes} bytes had`,
        );
      }
      if (done) break;
      sizeBytes += value.byteLength;
      if (sizeBytes > maxBodyBytes) {
        void reader.cancel().catch(() => {});
        throw new InkstoneError(
          "body_too_large",
          `the body has more than the ${maxBodyBytes} bytes that this server takes`,
        );
      }
      chunks.push(value);
    }
  } catch (error) {
    if (error instanceof InkstoneError) throw error;
    throw new InkstoneError("interrupted", "the client went away while it sent the body", { cause: error });
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}
