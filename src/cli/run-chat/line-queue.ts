/** Lines of a terminal, one at a time; what is typed while nobody reads waits, unseen. */
import { createInterface } from "node:readline";
import type { Interface } from "node:readline";
import { Writable } from "node:stream";

/** A line that was typed. */
export interface TypedLine {
  readonly text: string;
  /** Was it shown while it was typed? */
  readonly wasShown: boolean;
}

export interface LineQueueOptions {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  readonly complete: (line: string) => [string[], string];
  /** Ctrl+C. */
  readonly onInterrupt: () => void;
  /** Ctrl+D, or the end of the input. */
  readonly onEnd: () => void;
}

export interface LineQueue {
  /** Shows the prompt and waits for a line; null at the end. Nothing that is typed is shown between two calls. */
  next(prompt: string): Promise<TypedLine | null>;
  /** The line that is being typed. */
  readonly current: string;
  /** Forgets the line that is being typed, and shows the prompt again. */
  clear(prompt: string): void;
  close(): void;
}

/** Reads lines from a terminal, with editing and history. */
export function createLineQueue(options: LineQueueOptions): LineQueue {
  const { input, output, complete, onInterrupt, onEnd } = options;
  const lines: TypedLine[] = [];
  let waiting: ((line: TypedLine | null) => void) | null = null;
  let ended = false;
  const screen = createScreen(output, () => waiting !== null);
  const editor: Interface = createInterface({
    input,
    output: screen,
    terminal: true,
    completer: complete,
  });

  editor.on("line", (text) => {
    const line = { text, wasShown: waiting !== null };
    if (waiting === null) lines.push(line);
    else settle(line);
  });
  editor.on("SIGINT", onInterrupt);
  editor.on("close", () => {
    ended = true;
    onEnd();
    settle(null);
  });

  function settle(line: TypedLine | null): void {
    const resolve = waiting;
    waiting = null;
    resolve?.(line);
  }

  function show(prompt: string): void {
    editor.setPrompt(prompt);
    editor.prompt(true);
  }

  return {
    next: async (prompt) => {
      const line = lines.shift();
      if (line !== undefined) return line;
      if (ended) return null;
      return new Promise((resolve) => {
        waiting = resolve;
        show(prompt);
      });
    },
    get current() {
      return editor.line;
    },
    clear(prompt) {
      editor.write(null, { ctrl: true, name: "e" });
      editor.write(null, { ctrl: true, name: "u" });
      show(prompt);
    },
    close: () => editor.close(),
  };
}

/** The terminal as the editor sees it: what it writes while nobody waits for a line is dropped. */
function createScreen(output: NodeJS.WriteStream, isShown: () => boolean): Writable {
  const screen = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (isShown()) output.write(chunk);
      done();
    },
  });
  Object.defineProperty(screen, "columns", { get: () => output.columns });
  output.on("resize", () => screen.emit("resize"));
  return screen;
}
