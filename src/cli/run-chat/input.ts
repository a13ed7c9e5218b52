/** What a line means that was typed into the chat. */

export type ChatInput =
  | { readonly kind: "empty" }
  /** A message over several lines was begun and not ended. */
  | { readonly kind: "more" }
  | { readonly kind: "message"; readonly text: string }
  | { readonly kind: "command"; readonly name: string; readonly args: readonly string[] };

const fence = '"""';

/** Reads line by line: a message, a command that starts with a slash, or several lines between `"""`. */
export class ChatInputReader {
  #lines: string[] | null = null;

  /** Is a message over several lines open? */
  get isOpen(): boolean {
    return this.#lines !== null;
  }

  feed(line: string): ChatInput {
    if (this.#lines !== null) return this.#continue(this.#lines, line);
    const text = line.trim();
    if (text === "") return { kind: "empty" };
    if (text.startsWith(fence)) return this.#open(text.slice(fence.length));
    if (!text.startsWith("/")) return { kind: "message", text };
    const [name = "", ...args] = text.slice(1).split(/\s+/);
    return { kind: "command", name: name.toLowerCase(), args };
  }

  /** Forgets a message that was begun. */
  reset(): void {
    this.#lines = null;
  }

  #open(rest: string): ChatInput {
    if (rest.endsWith(fence)) return messageOf([rest.slice(0, -fence.length)]);
    this.#lines = rest === "" ? [] : [rest];
    return { kind: "more" };
  }

  #continue(lines: string[], line: string): ChatInput {
    const end = line.trimEnd();
    if (!end.endsWith(fence)) {
      lines.push(line);
      return { kind: "more" };
    }
    this.#lines = null;
    const last = end.slice(0, -fence.length);
    return messageOf(last === "" ? lines : [...lines, last]);
  }
}

function messageOf(lines: readonly string[]): ChatInput {
  const text = lines.join("\n");
  return text.trim() === "" ? { kind: "empty" } : { kind: "message", text };
}
