import { Command } from "commander";

import type { CliContext } from "./context.ts";
import { assertSafeHost } from "./host-safety.ts";
import { addSettings, loadSettings } from "./settings.ts";

const examples = `
Examples:
  inkstone serve                               the default model on http://127.0.0.1:8080
  inkstone serve ./model.gguf --port 9000 -c 16384
  inkstone serve --host 0.0.0.0 --api-key-file keys.txt
  inkstone serve --config team.yaml            settings from a file; see inkstone config
`;

/** `inkstone serve`: the API server. */
export function createServeCommand(context: CliContext): Command {
  const command = new Command("serve").argument(
    "[model]",
    "A name, a path to a .gguf file, or a reference; without one, the default model",
  );
  addSettings(command, ["model", "server", "engine", "store", "log"]);
  return command.addHelpText("after", examples).action(async (model: string | undefined) => {
    const startedAt = context.now();
    const loaded = loadSettings(context, command, model);
    assertSafeHost(loaded.config);
    const { runServer } = await import("./server.ts");
    await runServer(context, loaded.config, startedAt);
  });
}
