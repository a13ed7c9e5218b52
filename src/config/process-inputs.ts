/** The only reader of process.env: what the configuration and the other rooms are given of this process. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";

import type { ConfigInputs } from "./load.ts";

/** The surroundings of this process: a copy of the environment (also pip's and the hubs' variables), and the places. */
export function readProcessInputs(): Omit<ConfigInputs, "flags" | "modelArgument"> {
  return {
    env: Object.freeze({ ...process.env }),
    readFile: readTextIfThere,
    cwd: process.cwd(),
    homeDir: homedir(),
    platform: process.platform,
  };
}

function readTextIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
