import { Command } from "commander";

import type { CliContext } from "./context.ts";
import { packageVersion } from "./package-info.ts";

/** `inkstone version`. */
export function createVersionCommand({ stdout }: CliContext): Command {
  return new Command("version")
    .option("--json", "Print JSON.")
    .action(({ json = false }: { json?: boolean }) => {
      const version = packageVersion();
      const { platform, arch, versions } = process;
      const facts = { version, node: versions.node, platform, arch };
      stdout.write(
        json
          ? `${JSON.stringify(facts)}\n`
          : `inkstone ${version} (node ${versions.node}, ${platform} ${arch})\n`,
      );
    });
}
