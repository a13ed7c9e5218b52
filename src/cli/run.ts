import { Command, Option } from "commander";

import { InkstoneError } from "../errors.ts";
import type { CliContext } from "./context.ts";
import { interruptible } from "./interrupt.ts";
import { createServerRequest, urlOption } from "./remote.ts";
import { describeTimings, writeAnswer } from "./run-chat/answer.ts";
import { completeChat } from "./run-chat/chat-client.ts";
import type { ChatMessage, ChatParameters } from "./run-chat/chat-client.ts";
import { parseParameter } from "./run-chat/parameters.ts";
import { splitWords, toPrompt } from "./run-chat/prompt.ts";
import { runChat } from "./run-chat/repl.ts";
import { openRemoteSession } from "./run-chat/session.ts";
import type { ChatSession } from "./run-chat/session.ts";
import { addSettings, loadSettings } from "./settings.ts";

const examples = `
Examples:
  inkstone run                                 chat with the default model
  inkstone run smollm2-135m Why is the sky blue?
  inkstone run "Why is the sky blue?"          words with a space are a prompt, not a model
  git diff | inkstone run "Review this diff."
  inkstone run --url http://gpu-box:8080 "Hello there"
`;

interface RunOptions {
  readonly url?: string;
  readonly system?: string;
  readonly temperature?: string;
  readonly maxTokens?: string;
  readonly seed?: string;
  readonly json?: boolean;
  readonly stream: boolean;
  readonly verbose?: boolean;
}

/** `inkstone run`: a chat in the terminal, or one prompt from the arguments or standard input. */
export function createRunCommand(context: CliContext): Command {
  const command = new Command("run")
    .argument("[model]", "A name, a path to a .gguf file, or a reference; without one, the default model")
    .argument("[prompt...]", "What to ask; without it, a chat on a terminal, or standard input")
    .addOption(urlOption("Use the server at this address instead of an engine of this command."))
    .option("--system <TEXT>", "System message.")
    .option("--temperature <N>", "0 always takes the most probable token.")
    .option("--max-tokens <N>", "Most tokens of an answer.")
    .option("--seed <N>", "Makes sampling repeatable.")
    .addOption(new Option("--json", "Print the API's answer as JSON."))
    .option("--no-stream", "Print the answer when it is complete.")
    .option("--verbose", "Print tokens and times on standard error.");
  addSettings(command, ["model", "engine", "store", "log"], ["apiKeyFile"]);
  return command
    .addHelpText("after", examples)
    .action(async (first: string | undefined, rest: readonly string[], options: RunOptions) => {
      const words = first === undefined ? [] : [first, ...rest];
      const hasModelFlag = command.getOptionValueSource("model") === "cli";
      const { model, prompt: typed } = splitWords(words, hasModelFlag);
      const loaded = loadSettings(context, command, model);
      const { config } = loaded;
      const parameters = parametersOf(options);
      const prompt = await toPrompt(context.stdin, typed);
      if (prompt === null && (options.json || !context.stdout.isTerminal)) {
        const taken = model === undefined ? "" : `; ${JSON.stringify(model)} is taken for the model`;
        throw new InkstoneError("unknown_option", `no prompt was given, and a chat needs a terminal${taken}`);
      }
      const session = await interruptible(context, async (signal): Promise<ChatSession> => {
        if (options.url !== undefined) {
          const request = createServerRequest(context, loaded, options.url);
          return openRemoteSession(request, config.model, signal);
        }
        const { openEmbeddedSession } = await import("./run-chat/embedded.ts");
        return openEmbeddedSession(context, loaded, signal);
      });
      const system = options.system ?? null;
      try {
        if (prompt === null) {
          await runChat(context, session, { system, parameters, verbose: options.verbose ?? false });
        } else {
          await answerOnce(context, session, options, { prompt, system, parameters });
        }
      } finally {
        await session.close();
      }
    });
}

function parametersOf({ temperature, maxTokens, seed }: RunOptions): ChatParameters {
  const given: Record<string, number> = {};
  if (temperature !== undefined)
    given["temperature"] = parseParameter("temperature", temperature, "--temperature");
  if (maxTokens !== undefined) given["max_tokens"] = parseParameter("max_tokens", maxTokens, "--max-tokens");
  if (seed !== undefined) given["seed"] = parseParameter("seed", seed, "--seed");
  return given;
}

interface Question {
  readonly prompt: string;
  readonly system: string | null;
  readonly parameters: ChatParameters;
}

async function answerOnce(
  context: CliContext,
  session: ChatSession,
  options: RunOptions,
  { prompt, system, parameters }: Question,
): Promise<void> {
  const messages: ChatMessage[] = [{ role: "user", content: prompt }];
  if (system !== null) messages.unshift({ role: "system", content: system });
  const { stdout, stderr } = context;
  await interruptible(context, async (signal) => {
    if (options.json) {
      const answer = await completeChat(
        session.request,
        { model: session.model, messages, parameters },
        signal,
      );
      stdout.write(`${JSON.stringify(answer)}\n`);
      return;
    }
    const parts: string[] = [];
    const output = options.stream
      ? stdout
      : { ...stdout, isTerminal: false, write: (text: string) => void parts.push(text) };
    const result = await writeAnswer(session, { messages, parameters }, output, signal);
    stdout.write(parts.join(""));
    if (options.verbose) stderr.write(describeTimings(result));
  });
}
