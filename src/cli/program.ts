/** The command `inkstone`: its verbs, each loaded only when it is used. */
import { Command } from "commander";
import type { HelpConfiguration, OutputConfiguration } from "commander";

import { didYouMean } from "../config/nearest.ts";
import { InkstoneError } from "../errors.ts";
import type { CliContext } from "./context.ts";
import { reportError } from "./report-error.ts";
import { packageVersion } from "./package-info.ts";

/** One verb of the command line. */
interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly aliases?: readonly string[];
  readonly load: (context: CliContext) => Promise<Command>;
}

const verbs: readonly Verb[] = [
  {
    name: "serve",
    summary: "Serve a model over an OpenAI-compatible API",
    load: async (context) => (await import("./serve.ts")).createServeCommand(context),
  },
  {
    name: "run",
    summary: "Chat with a model in the terminal, or answer one prompt",
    load: async (context) => (await import("./run.ts")).createRunCommand(context),
  },
  {
    name: "pull",
    summary: "Fetch a model",
    load: async (context) => (await import("./pull.ts")).createPullCommand(context),
  },
  {
    name: "ls",
    summary: "List the models that are here",
    aliases: ["list"],
    load: async (context) => (await import("./ls.ts")).createListCommand(context),
  },
  {
    name: "ps",
    summary: "Show what a running server serves, and how busy it is",
    load: async (context) => (await import("./ps.ts")).createPsCommand(context),
  },
  {
    name: "rm",
    summary: "Remove models",
    aliases: ["remove"],
    load: async (context) => (await import("./rm.ts")).createRemoveCommand(context),
  },
  {
    name: "doctor",
    summary: "Check this machine, and say what to mend",
    load: async (context) => (await import("./doctor.ts")).createDoctorCommand(context),
  },
  {
    name: "config",
    summary: "Show the effective settings and where each came from",
    load: async (context) => (await import("./config.ts")).createConfigCommand(context),
  },
  {
    name: "version",
    summary: "Show the version",
    load: async (context) => (await import("./version.ts")).createVersionCommand(context),
  },
];

const examples = `
Examples:
  inkstone serve                               the default model on http://127.0.0.1:8080
  inkstone serve ./model.gguf --port 9000      a file of your own
  inkstone run "Why is the sky blue?"          one answer
  git diff | inkstone run "Review this:"       a prompt from another program
  inkstone COMMAND --help                      what a command accepts
`;

/** Runs the command line. Returns the exit status; never throws. */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  const debug = Boolean(context.inputs.env["INKSTONE_DEBUG"]) || asksForDebug(args);
  try {
    const program = await createProgram(args, context);
    if (args.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(await expand(args), { from: "user" });
    return 0;
  } catch (error) {
    return reportError(error, context.stderr, debug);
  }
}

/** Spells out flags such as `-ngl`, which the parser would take apart; the settings are loaded only for that. */
async function expand(args: readonly string[]): Promise<readonly string[]> {
  if (!args.some((word) => /^-[a-z]{2}/.test(word))) return args;
  const { expandShortFlags } = await import("./settings.ts");
  return expandShortFlags(args);
}

function asksForDebug(args: readonly string[]): boolean {
  return args.some(
    (word, index) =>
      /^--log-level=(debug|trace)$/.test(word) ||
      (word === "--log-level" && /^(debug|trace)$/.test(args[index + 1] ?? "")),
  );
}

/** Every verb as a name for the help; the one that is asked for, whole. */
async function createProgram(args: readonly string[], context: CliContext): Promise<Command> {
  const program = new Command("inkstone")
    .description("Run large language models on hardware that you own.")
    .usage("COMMAND [OPTIONS]")
    .version(packageVersion(), "-v, --version", "Show the version")
    .helpOption("-h, --help", "Show help")
    .helpCommand("help [COMMAND]", "Show help for a command")
    .addHelpText("after", examples)
    .exitOverride()
    .configureOutput(outputOf(context))
    .configureHelp(helpStyle(context));
  const asked = args[0] === "help" ? args[1] : args[0];
  if (asked !== undefined && !asked.startsWith("-") && asked !== "help") assertVerb(asked);
  for (const verb of verbs) {
    const isAsked = asked === verb.name || verb.aliases?.includes(asked ?? "");
    const command = isAsked ? await verb.load(context) : new Command(verb.name);
    for (const alias of verb.aliases ?? []) command.alias(alias);
    command.summary(verb.summary);
    if (!command.description()) command.description(verb.summary);
    program.addCommand(command.copyInheritedSettings(program));
  }
  return program;
}

function assertVerb(word: string): void {
  const names = verbs.flatMap((verb) => [verb.name, ...(verb.aliases ?? [])]);
  if (names.includes(word)) return;
  throw new InkstoneError("unknown_option", `unknown command ${word}${didYouMean(word, names)}`);
}

function outputOf({ stdout }: CliContext): OutputConfiguration {
  return {
    writeOut: (text) => stdout.write(text),
    // Errors are thrown, and said once, in one form, by `reportError`.
    writeErr: () => {},
    getOutHelpWidth: () => Math.min(stdout.columns, 110),
    getOutHasColors: () => stdout.palette.enabled,
  };
}

function helpStyle({ stdout }: CliContext): HelpConfiguration {
  const { bold, cyan } = stdout.palette;
  return { styleTitle: bold, styleSubcommandTerm: cyan, styleOptionTerm: cyan, styleArgumentTerm: cyan };
}
