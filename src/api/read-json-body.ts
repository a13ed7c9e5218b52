/** Request bodies: size and time are limited while they are read. */
import { InkstoneError } from "../errors.ts";
import { checkBodyShape } from "./body-shape.ts";

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** For the whole body. */
  readonly requestTimeoutMs: number;
}

/**
 * What is read and thrown away of a body that is too large: most clients read the answer only after they have sent the
 * whole body, and a connection that is closed before that loses it.
 */
const lingering = { factor: 4, ms: 2_000 };

/**
 * The body as JSON. Throws `body_too_large` (what is beyond the limit is not kept),
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
    if (request.body !== null) await discard(request.body.getReader(), lingering.factor * maxBodyBytes);
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
        chunks.length = 0;
        await discard(reader, lingering.factor * maxBodyBytes);
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

/** Reads to the end, at most `maxBytes` and for a limited time, and keeps nothing. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array>, maxBytes: number): Promise<void> {
  let leftBytes = maxBytes;
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), lingering.ms);
  try {
    while (leftBytes > 0) {
      const { done, value } = await reader.read();
      if (done) return;
      leftBytes -= value.byteLength;
    }
    void reader.cancel().catch(() => {});
  } catch {
    // The client went away: there is nobody to answer.
  } finally {
    clearTimeout(timer);
  }
}
