/** Accelerators, as the vendors' own tools list them. No library is loaded. */
import { runCommand } from "./run-command.ts";

export interface Gpu {
  readonly vendor: "nvidia" | "amd" | "ascend";
  readonly name: string;
  readonly totalBytes: number | null;
  readonly freeBytes: number | null;
  readonly driver: string | null;
  /** NVIDIA: such as "9.0". */
  readonly computeCapability: string | null;
}

const mebibyte = 1024 ** 2;

/** Asks nvidia-smi, rocm-smi and npu-smi, those that are installed. A tool that fails or hangs counts as absent. */
export async function listGpus(run: typeof runCommand = runCommand): Promise<Gpu[]> {
  const ask = async (
    command: string,
    args: readonly string[],
    parse: (text: string) => Gpu[],
  ): Promise<Gpu[]> => {
    const { status, stdout } = await run(command, args, { timeoutMs: 10_000 });
    return status === 0 ? parse(stdout) : [];
  };
  const lists = await Promise.all([
    ask(
      "nvidia-smi",
      [
        "--query-gpu=name,memory.total,memory.free,driver_version,compute_cap",
        "--format=csv,noheader,nounits",
      ],
      parseNvidiaSmi,
    ),
    ask("rocm-smi", ["--showproductname", "--showmeminfo", "vram", "--json"], parseRocmSmi),
    ask("npu-smi", ["info"], parseNpuSmi),
  ]);
  return lists.flat();
}

/** Lines such as "NVIDIA H200, 143771, 143000, 570.86, 9.0" (MiB). */
export function parseNvidiaSmi(text: string): Gpu[] {
  return text
    .trim()
    .split("\n")
    .filter((line) => line.includes(","))
    .map((line) => {
      const [name = "", total, free, driver, capability] = line.split(",").map((cell) => cell.trim());
      return {
        vendor: "nvidia",
        name,
        totalBytes: toBytes(total, mebibyte),
        freeBytes: toBytes(free, mebibyte),
        driver: driver ?? null,
        computeCapability: capability ?? null,
      };
    });
}

/** JSON of the form {"card0": {"Card Series": "...", "VRAM Total Memory (B)": "..."}}. */
export function parseRocmSmi(text: string): Gpu[] {
  let cards: unknown;
  try {
    cards = JSON.parse(text);
  } catch {
    return [];
  }
  if (!isRecord(cards)) return [];
  return Object.entries(cards).flatMap(([key, card]) => {
    if (!key.startsWith("card") || !isRecord(card)) return [];
    const field = (...names: string[]): string | undefined => {
      const value = names
        .map((name) => card[name])
        .find((found) => typeof found === "string" && found !== "N/A");
      return typeof value === "string" ? value : undefined;
    };
    const total = toBytes(field("VRAM Total Memory (B)"), 1);
    const used = toBytes(field("VRAM Total Used Memory (B)"), 1);
    return [
      {
        vendor: "amd" as const,
        name: field("Card Series", "Card series", "Card Model", "Card model") ?? key,
        totalBytes: total,
        freeBytes: total === null || used === null ? null : total - used,
        driver: null,
        computeCapability: null,
      },
    ];
  });
}

/** The table of `npu-smi info`: two lines a chip, the name in the first, "used / total" HBM in MB at the end of the second. */
export function parseNpuSmi(text: string): Gpu[] {
  const lines = text.split("\n");
  const driver = /Version:\s*(\S+)/.exec(text)?.[1] ?? null;
  return lines.flatMap((line, index) => {
    const name = /^\|\s*\d+\s+([A-Za-z0-9]\S*)\s*\|\s*[A-Za-z]+\s*\|/.exec(line)?.[1];
    const memory = /(\d+)\s*\/\s*(\d+)\s*\|\s*$/.exec(lines[index + 1] ?? "");
    if (name === undefined || memory === null) return [];
    const [used, total] = [toBytes(memory[1], mebibyte), toBytes(memory[2], mebibyte)];
    return [
      {
        vendor: "ascend" as const,
        name: `Ascend ${name}`,
        totalBytes: total,
        freeBytes: total === null || used === null ? null : total - used,
        driver,
        computeCapability: null,
      },
    ];
  });
}

function toBytes(text: string | undefined, unit: number): number | null {
  const value = Number(text === undefined || text === "" ? Number.NaN : text);
  return Number.isFinite(value) ? value * unit : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
