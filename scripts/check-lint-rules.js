// Proves that the lint rules hold the house together: each sample below breaks one rule and must be refused for it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const importOf = (room) => `import { x } from "${room}";\nexport const y = x;\n`;

/** [file, text, the rule that must refuse it; null: it must pass]. */
const samples = [
  ["src/errors.ts", importOf("./config/a.ts"), "no-restricted-imports"],
  ["src/config/b.ts", importOf("../native/a.ts"), "no-restricted-imports"],
  ["src/native/b.ts", importOf("../engine/a.ts"), "no-restricted-imports"],
  ["src/native/c.ts", importOf("../gguf/a.ts"), null],
  ["src/engine/b.ts", importOf("../chat/a.ts"), "no-restricted-imports"],
  ["src/engine/cost/b.ts", importOf("../../native/a.ts"), "no-restricted-imports"],
  ["src/engine/scheduler/b.ts", importOf("../../native/a.ts"), "no-restricted-imports"],
  ["src/engine/scheduler/c.ts", importOf("../executor/llama.ts"), "no-restricted-imports"],
  ["src/engine/scheduler/e.ts", importOf("../executor/llama-executor.ts"), "no-restricted-imports"],
  ["src/engine/scheduler/f.ts", importOf("../executor/executor.ts"), null],
  ["src/engine/scheduler/g.ts", importOf("../host/a.ts"), "no-restricted-imports"],
  ["src/engine/scheduler/d.ts", importOf("../cache/a.ts"), null],
  ["src/engine/cache/b.ts", importOf("../../native/a.ts"), "no-restricted-imports"],
  ["src/engine/cache/c.ts", importOf("../executor/llama.ts"), "no-restricted-imports"],
  ["src/engine/cache/d.ts", importOf("../executor/llama-executor.ts"), "no-restricted-imports"],
  ["src/engine/executor/llama-b.ts", importOf("../../native/library.ts"), null],
  ["src/chat/c.ts", importOf("../native/vocabulary.ts"), "no-restricted-imports"],
  ["src/models/c.ts", importOf("../native/library.ts"), "no-restricted-imports"],
  ["src/api/n.ts", importOf("../native/model.ts"), "no-restricted-imports"],
  ["src/api/openai/d.ts", importOf("../../native/memory.ts"), "no-restricted-imports"],
  ["src/cli/d.ts", importOf("../native/library.ts"), "no-restricted-imports"],
  ["src/cli/e.ts", importOf("../native/probe-process.ts"), "no-restricted-imports"],
  ["src/cli/f.ts", importOf("../native/install.ts"), null],
  ["src/cli/g.ts", importOf("../native/hardware-cpu.ts"), null],
  ["src/chat/b.ts", importOf("../models/a.ts"), "no-restricted-imports"],
  ["src/models/b.ts", importOf("../api/a.ts"), "no-restricted-imports"],
  ["src/api/b.ts", importOf("../cli/a.ts"), "no-restricted-imports"],
  ["src/api/openai/c.ts", importOf("../../cli/a.ts"), "no-restricted-imports"],
  ["src/api/d.ts", importOf("../engine/a.ts"), null],
  ["src/cli/b.ts", importOf("../api/a.ts"), null],
  ["src/api/e.ts", "export const home = process.env;\n", "no-process-env"],
  ["src/config/c.ts", "export const home = process.env;\n", null],
  ["src/api/f.ts", "export const end = (): never => process.exit(1);\n", "no-process-exit"],
  ["src/cli/c.ts", "export const end = (): never => process.exit(1);\n", null],
  ["src/api/g.ts", 'console.log("x");\n', "no-console"],
  ["src/api/h.ts", "export const f = (x: any): unknown => x;\n", "no-explicit-any"],
  ["src/api/i.ts", "export function f(): void {\n  Promise.resolve(1);\n}\n", "no-floating-promises"],
  ["src/api/j.ts", 'import { k } from "./k.ts";\nexport const j = (): unknown => k;\n', "no-cycle"],
  ["src/api/k.ts", 'import { j } from "./j.ts";\nexport const k = (): unknown => j;\n', "no-cycle"],
  [
    "src/api/l.ts",
    'import { T } from "./m.ts";\nexport const l = (t: T): T => t;\n',
    "consistent-type-imports",
  ],
  ["src/api/m.ts", "export interface T {\n  readonly a: number;\n}\n", null],
];

const directory = mkdtempSync(path.join(os.tmpdir(), "inkstone-lint-"));
try {
  for (const file of [".oxlintrc.json", "tsconfig.json", "package.json"]) {
    cpSync(path.join(root, file), path.join(directory, file));
  }
  symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"));
  for (const room of [
    "config",
    "gguf",
    "native",
    "engine",
    "engine/cache",
    "engine/host",
    "chat",
    "models",
    "api",
    "cli",
  ]) {
    write(`src/${room}/a.ts`, "export const x = 1;\n");
  }
  for (const file of [
    "engine/executor/executor",
    "engine/executor/llama",
    "engine/executor/llama-executor",
    "native/hardware-cpu",
    "native/install",
    "native/library",
    "native/memory",
    "native/model",
    "native/probe-process",
    "native/vocabulary",
  ]) {
    write(`src/${file}.ts`, "export const x = 1;\n");
  }
  for (const [file, text] of samples) write(file, text);

  const linter = path.join(root, "node_modules", "oxlint", "bin", "oxlint");
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [linter, "--type-aware", "--deny-warnings", "--format=json", "src"],
    { cwd: directory, encoding: "utf8" },
  );
  const found = readDiagnostics(stdout, stderr);
  const failures = samples.flatMap(([file, , rule]) => {
    const codes = found.filter(({ filename }) => filename === file).map(({ code }) => code);
    if (rule === null) return codes.length === 0 ? [] : [`${file} should pass, but: ${codes.join(", ")}`];
    return codes.some((code) => code.includes(`(${rule})`))
      ? []
      : [`${file} should be refused by ${rule}, but: ${codes.join(", ") || "nothing"}`];
  });
  for (const failure of failures) console.error(failure);
  console.log(`lint rules: ${samples.length - failures.length} of ${samples.length} samples as expected`);
  process.exitCode = failures.length === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function write(file, text) {
  const target = path.join(directory, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
}

function readDiagnostics(stdout, stderr) {
  try {
    return JSON.parse(stdout).diagnostics;
  } catch (error) {
    throw new Error(`oxlint gave no JSON: ${stdout.slice(0, 500)} ${stderr.slice(0, 500)}`, { cause: error });
  }
}
