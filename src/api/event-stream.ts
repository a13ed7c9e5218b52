/** Answers as server-sent events. */

export interface EventStream {
  /** Body of the response. */
  readonly body: ReadableStream<Uint8Array>;
  /** Text of one or more whole events. Does nothing once the client has gone or the stream is closed. */
  write(text: string): void;
  close(): void;
}

export interface EventStreamOptions {
  /** A client that leaves more than this unread is given up. */
  readonly maxUnreadBytes: number;
  /** The client went away or was given up; called once, and not after `close`. */
  readonly onGone: () => void;
  /** Ends the connection of a client that is given up. */
  readonly disconnect: () => void;
}

/** Headers of a stream; the last one tells nginx not to hold events back. */
export const eventStreamHeaders = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache",
  "X-Accel-Buffering": "no",
} as const;

/** The event that ends every stream of OpenAI's API. */
export const doneEvent = "data: [DONE]\n\n";

/** One event with a JSON text. */
export function toEvent(json: string): string {
  return `data: ${json}\n\n`;
}

/** An open stream; what is written is kept, up to `maxUnreadBytes`, until the client reads it. */
export function createEventStream({ maxUnreadBytes, onGone, disconnect }: EventStreamOptions): EventStream {
  let isOpen = true;
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  const body = new ReadableStream<Uint8Array>(
    {
      start(created) {
        controller = created;
      },
      cancel() {
        if (!isOpen) return;
        isOpen = false;
        onGone();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 0 }),
  );
  return {
    body,
    write(text) {
      if (!isOpen || text === "") return;
      controller?.enqueue(Buffer.from(text));
      if (-(controller?.desiredSize ?? 0) <= maxUnreadBytes) return;
      isOpen = false;
      onGone();
      disconnect();
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      controller?.close();
    },
  };
}
