/** What is logged of one request. Filled by the handlers; never holds content or keys. */
export interface RequestRecord {
  /** Name of the served model. */
  model?: string;
  promptTokens?: number;
  cachedTokens?: number;
  completionTokens?: number;
  stream?: boolean;
  /** Code of the error that the request ended with. */
  errorCode?: string;
  /** The client went away before the answer was complete. */
  disconnected?: boolean;
  /** Postpones the log line; the returned function writes it. For answers that go on after the handler has returned. */
  hold(): () => void;
}

/** A record whose line is written by `write`, once: at `close`, or when it is held, at the release. */
export function createRequestRecord(write: (record: RequestRecord) => void): {
  readonly record: RequestRecord;
  readonly close: () => void;
} {
  let isHeld = false;
  let isWritten = false;
  const writeOnce = (): void => {
    if (isWritten) return;
    isWritten = true;
    write(record);
  };
  const record: RequestRecord = {
    hold() {
      isHeld = true;
      return writeOnce;
    },
  };
  return {
    record,
    close: () => {
      if (!isHeld) writeOnce();
    },
  };
}
