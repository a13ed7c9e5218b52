/** Tries whether a native library loads, in a process of its own: a failed assertion or a crash ends only that one. */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { runCommand } from "./run-command.ts";

const answerSchema = z.union([
  z.object({
    ok: z.literal(true),
    version: z.string(),
    devices: z.array(
      z.object({
        name: z.string(),
        description: z.string(),
        type: z.string(),
        totalBytes: z.number(),
        freeBytes: z.number(),
      }),
    ),
    /** File names of the compute backends that were taken, such as "libggml-cpu-haswell.so"; empty where unknown. */
    backends: z.array(z.string()),
    /** What the library complained about while it loaded. */
    complaints: z.array(z.string()),
  }),
  z.object({ ok: z.literal(false), message: z.string() }),
]);

/** What the probing process found; `message` is a sentence for the user. */
export type NativeProbe = z.infer<typeof answerSchema>;

export interface ProbeOptions {
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The answer's line on standard output starts with this; the library may print lines of its own. */
export const probeMarker = "inkstone-probe ";

/** Loads the library of a directory in a child process. Never rejects. */
export async function probeNative(options: ProbeOptions): Promise<NativeProbe> {
  const script = fileURLToPath(new URL("./probe-process.js", import.meta.url));
  const timeoutMs = options.timeoutMs ?? 60_000;
  const result = await runCommand(process.execPath, [script, options.directory], {
    timeoutMs,
    env: { ...options.env, GGML_NO_BACKTRACE: "1" },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const line = result.stdout.split("\n").find((text) => text.startsWith(probeMarker));
  if (line !== undefined) return answerSchema.parse(JSON.parse(line.slice(probeMarker.length)));
  if (result.failure === "timeout") {
    return { ok: false, message: `Loading ${options.directory} took longer than ${timeoutMs / 1000} s.` };
  }
  const said = result.stderr.trim().split("\n").at(-1) ?? "";
  const ending = result.status === null ? "was killed by a signal" : `ended with status ${result.status}`;
  return {
    ok: false,
    message: `The process that loaded ${options.directory} ${ending}${said === "" ? "" : `: ${said}`}.`,
  };
}
