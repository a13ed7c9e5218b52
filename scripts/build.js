// Compiles src/ to dist/ with the pinned TypeScript, and makes the command executable.
// A checkout installed without its development packages keeps the dist/ it came with.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = `${root}node_modules/typescript/bin/tsc`;
const entry = `${root}dist/cli/main.js`;

if (existsSync(compiler)) {
  const { status } = spawnSync(process.execPath, [compiler, "-p", `${root}tsconfig.build.json`], {
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
  if (existsSync(entry)) chmodSync(entry, 0o755);
} else if (!existsSync(entry)) {
  console.error("dist/ is missing and TypeScript is not installed: run `npm install` first.");
  process.exit(1);
}
