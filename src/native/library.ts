/** Loads the native library, checks that it is the one this code was written for, and binds its functions. */
import { readdirSync } from "node:fs";
import path from "node:path";
import koffi from "koffi";
import type { LibraryHandle } from "koffi";
import { InkstoneError } from "../errors.ts";
import { logCallbackType, signatures, structs, toKoffiSignature } from "./abi.ts";
import {
  expectedContextDefaults,
  expectedLibraryVersion,
  expectedModelDefaults,
  expectedStructBytes,
} from "./abi-expectations.ts";
import type { Bindings } from "./abi.ts";
import { Handle, disposeOnError } from "./handle.ts";
import { NativeLog } from "./log.ts";
import type { NativeLogLine } from "./log.ts";

/** The loaded library. One for each process: its log and its backends are global. */
export interface Native {
  readonly directory: string;
  /** As `llama_version()` says. */
  readonly version: string;
  readonly lib: Bindings;
  readonly log: NativeLog;
  /** Owner of everything that is made with the library. */
  readonly handle: Handle;
  dispose(): void;
}

export interface LoadNativeOptions {
  /** Where the libraries lie. */
  readonly directory: string;
  /** Load the compute backends too; a process that only tokenises needs none. Default: true. */
  readonly backends?: boolean;
  /** Receives the lines that the library logs, but for debugging. Default: nobody. */
  readonly onLog?: (line: NativeLogLine) => void;
}

/**
 * Loads the libraries of a directory. Call it in a child process only: a failed assertion in the library ends the process.
 * Set `GGML_NO_BACKTRACE=1` in that process's environment, else the library waits for a debugger before it ends.
 *
 * Throws `native_not_found` when a file is missing or cannot be loaded, `native_mismatch` when the library is another
 * version or its structs or defaults are not the expected ones.
 */
export function loadNative(options: LoadNativeOptions): Native {
  const { directory } = options;
  const files = findLibraries(directory);
  const lib = bindAll(
    { ggmlBase: open(files.ggmlBase), ggml: open(files.ggml), llama: open(files.llama) },
    directory,
  );
  verify(lib, directory);

  const log = new NativeLog(options.onLog ?? null);
  const callback = koffi.register(
    (level: number, text: string | null) => log.receive(level, text ?? ""),
    logCallbackType,
  );
  lib.llama_log_set(callback, null);
  const handle = new Handle(null, () => {
    lib.llama_backend_free();
    lib.llama_log_set(null, null);
    koffi.unregister(callback);
  });
  return disposeOnError(handle, () => {
    lib.llama_backend_init();
    if ((options.backends ?? true) && Number(lib.ggml_backend_reg_count()) === 0) {
      lib.ggml_backend_load_all_from_path(directory);
      if (Number(lib.ggml_backend_reg_count()) === 0) {
        throw new InkstoneError(
          "native_not_found",
          `No compute backend in ${directory} runs on this machine.`,
        );
      }
    }
    return {
      directory,
      version: lib.llama_version() ?? "",
      lib,
      log,
      handle,
      dispose: () => handle.dispose(),
    };
  });
}

type LibraryName = keyof typeof signatures;

const filePatterns: Readonly<Record<LibraryName, RegExp>> = {
  ggmlBase: /^(lib)?ggml-base(\.v[\d.]+)?\.(so|dylib|dll)$/,
  ggml: /^(lib)?ggml(\.v[\d.]+)?\.(so|dylib|dll)$/,
  llama: /^(lib)?llama(\.v[\d.]+)?\.(so|dylib|dll)$/,
};

function findLibraries(directory: string): Record<LibraryName, string> {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (cause) {
    throw new InkstoneError("native_not_found", `The native directory ${directory} cannot be read.`, {
      cause,
    });
  }
  const find = (library: LibraryName): string => {
    const name = names.find((candidate) => filePatterns[library].test(candidate));
    if (name === undefined) {
      throw new InkstoneError("native_not_found", `${directory} holds no ${library} library.`);
    }
    return path.join(directory, name);
  };
  return { ggmlBase: find("ggmlBase"), ggml: find("ggml"), llama: find("llama") };
}

function open(file: string): LibraryHandle {
  try {
    return koffi.load(file, { global: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InkstoneError("native_not_found", `${file} cannot be loaded: ${reason}`, { cause });
  }
}

function bindAll(libraries: Record<LibraryName, LibraryHandle>, directory: string): Bindings {
  const bound: Record<string, unknown> = {};
  for (const library of Object.keys(signatures) as LibraryName[]) {
    for (const [name, signature] of Object.entries(signatures[library])) {
      const { result, parameters } = toKoffiSignature(signature);
      try {
        bound[name] = libraries[library].func(name, result, parameters);
      } catch (cause) {
        throw new InkstoneError(
          "native_mismatch",
          `Expected llama.cpp ${expectedLibraryVersion} in ${directory}, found one without ${name}.`,
          { cause },
        );
      }
    }
  }
  return bound as unknown as Bindings;
}

/** Throws `native_mismatch`, naming what was expected and what was found. */
function verify(lib: Bindings, directory: string): void {
  const mismatch = (what: string, expected: unknown, found: unknown): InkstoneError =>
    new InkstoneError(
      "native_mismatch",
      `The library in ${directory} is not the expected one: ${what} should be ${String(expected)}, but is ${String(found)}.`,
    );

  const version = lib.llama_version() ?? "unknown";
  if (version.replace(/-dev$/, "") !== expectedLibraryVersion)
    throw mismatch("llama_version()", expectedLibraryVersion, version);
  for (const [name, expected] of Object.entries(expectedStructBytes)) {
    const found = koffi.sizeof(structs[name as keyof typeof structs]);
    if (found !== expected) throw mismatch(`the size of ${name}`, expected, found);
  }
  for (const [name, difference] of [
    [
      "llama_model_default_params()",
      firstDifference(expectedModelDefaults, lib.llama_model_default_params()),
    ],
    [
      "llama_context_default_params()",
      firstDifference(expectedContextDefaults, lib.llama_context_default_params()),
    ],
  ] as const) {
    if (difference !== null)
      throw mismatch(`${name}.${difference.field}`, difference.expected, difference.found);
  }
}

/** The first field whose value is not the expected one, or null. */
export function firstDifference<T extends object>(
  expected: Readonly<Partial<T>>,
  found: T,
): { field: string; expected: unknown; found: unknown } | null {
  for (const field of Object.keys(expected) as (keyof T & string)[]) {
    if (found[field] !== expected[field]) return { field, expected: expected[field], found: found[field] };
  }
  return null;
}
