/** The chat in a terminal. */
import { didYouMean } from "../../config/nearest.ts";
import { toInkstoneError } from "../../errors.ts";
import type { CliContext } from "../context.ts";
import { describeTimings, writeAnswer } from "./answer.ts";
import type { ChatMessage, ChatParameters } from "./chat-client.ts";
import { ChatInputReader } from "./input.ts";
import { createLineQueue } from "./line-queue.ts";
import { parameterNames, parseParameter } from "./parameters.ts";
import type { ChatSession } from "./session.ts";

/** How a chat starts. */
export interface ChatOptions {
  readonly system: string | null;
  readonly parameters: ChatParameters;
  readonly verbose: boolean;
}

const prompt = ">>> ";
const morePrompt = "... ";

const help = `  /set NAME VALUE   set ${parameterNames.slice(0, 4).join(", ")}, ... or system
  /show             show what is set
  /clear            forget the conversation
  /bye              leave (also Ctrl+D)
  """               begin and end a message of several lines
  Ctrl+C            stop the answer
`;

/** Chats until the user leaves. Ctrl+C stops the answer, not the program. */
export async function runChat(
  context: Pick<CliContext, "stdin" | "stdoutStream" | "stdout" | "stderr" | "onSignal">,
  session: ChatSession,
  options: ChatOptions,
): Promise<void> {
  const { stdout } = context;
  const chat = new Chat(context, session, options);
  const promptNow = (): string => (chat.reader.isOpen ? morePrompt : prompt);
  const lines = createLineQueue({
    input: context.stdin,
    output: context.stdoutStream,
    complete: completeCommand,
    onInterrupt: () => {
      if (chat.stopAnswer()) return;
      stdout.write(lines.current === "" && !chat.reader.isOpen ? "\nUse Ctrl+D or /bye to leave.\n" : "\n");
      chat.reader.reset();
      lines.clear(prompt);
    },
    onEnd: () => void chat.stopAnswer(),
  });
  const stopListening = context.onSignal((signal) => {
    if (signal === "SIGINT") chat.stopAnswer();
    else lines.close();
  });
  stdout.write(`${stdout.palette.dim(`${session.model}: type a message, or /help`)}\n`);
  try {
    for (;;) {
      const line = await lines.next(promptNow());
      if (line === null) break;
      if (!line.wasShown) stdout.write(`${promptNow()}${line.text}\n`);
      if ((await chat.handle(line.text)) === "leave") break;
    }
  } finally {
    stopListening();
    lines.close();
  }
}

const commandNames = ["help", "bye", "exit", "quit", "clear", "set", "show"];

function completeCommand(line: string): [string[], string] {
  const candidates = commandNames.map((name) => `/${name}`).filter((name) => name.startsWith(line));
  return [line.startsWith("/") ? candidates : [], line];
}

class Chat {
  readonly reader = new ChatInputReader();
  readonly #context: Pick<CliContext, "stdout" | "stderr">;
  readonly #session: ChatSession;
  readonly #verbose: boolean;
  readonly #parameters: Record<string, number | string>;
  #system: string | null;
  #messages: ChatMessage[] = [];
  #answer: AbortController | null = null;

  constructor(context: Pick<CliContext, "stdout" | "stderr">, session: ChatSession, options: ChatOptions) {
    this.#context = context;
    this.#session = session;
    this.#verbose = options.verbose;
    this.#parameters = { ...options.parameters };
    this.#system = options.system;
  }

  /** Stops the answer that is being written; false when there is none. */
  stopAnswer(): boolean {
    if (this.#answer === null) return false;
    this.#answer.abort();
    return true;
  }

  async handle(line: string): Promise<"go on" | "leave"> {
    const input = this.reader.feed(line);
    try {
      if (input.kind === "message") await this.#ask(input.text);
      if (input.kind === "command") return this.#command(input.name, input.args);
    } catch (thrown) {
      const { message, hint } = toInkstoneError(thrown);
      const { palette } = this.#context.stderr;
      this.#context.stderr.write(`${palette.red("error:")} ${message}\n${palette.cyan("hint:")} ${hint}\n`);
    }
    return "go on";
  }

  async #ask(text: string): Promise<void> {
    const { stdout, stderr } = this.#context;
    const answer = new AbortController();
    this.#answer = answer;
    const asked: ChatMessage[] = [...this.#messages, { role: "user", content: text }];
    const system: ChatMessage[] = this.#system === null ? [] : [{ role: "system", content: this.#system }];
    let written = "";
    try {
      const result = await writeAnswer(
        this.#session,
        { messages: [...system, ...asked], parameters: this.#parameters },
        stdout,
        answer.signal,
        (part) => {
          written += part;
        },
      );
      if (this.#verbose) stderr.write(stderr.palette.dim(describeTimings(result)));
    } catch (error) {
      if (!answer.signal.aborted) throw error;
    } finally {
      this.#answer = null;
    }
    if (written !== "") this.#messages = [...asked, { role: "assistant", content: written }];
  }

  #command(name: string, args: readonly string[]): "go on" | "leave" {
    const { stdout } = this.#context;
    switch (name) {
      case "bye":
      case "exit":
      case "quit":
        return "leave";
      case "help":
      case "?":
        stdout.write(help);
        return "go on";
      case "clear":
        this.#messages = [];
        stdout.write("The conversation is forgotten.\n");
        return "go on";
      case "show":
        stdout.write(this.#describeSettings());
        return "go on";
      case "set":
        this.#set(args[0] === "parameter" ? args.slice(1) : args);
        return "go on";
      default:
        stdout.write(
          `unknown command /${name}${didYouMean(
            `/${name}`,
            commandNames.map((known) => `/${known}`),
          )} (/help lists them).\n`,
        );
        return "go on";
    }
  }

  #set([name, ...values]: readonly string[]): void {
    const value = values.join(" ");
    if (name === undefined || value === "") {
      this.#context.stdout.write(`/set NAME VALUE, with NAME one of system, ${parameterNames.join(", ")}\n`);
    } else if (name === "system") {
      this.#system = value.replace(/^"(.*)"$/s, "$1");
    } else {
      this.#parameters[name] = parseParameter(name, value);
    }
  }

  #describeSettings(): string {
    const rows = Object.entries({ system: this.#system ?? "(none)", ...this.#parameters });
    return rows.map(([name, value]) => `  ${name}  ${value}\n`).join("");
  }
}
