/** The process behind `probeNative`: loads the directory that it is given and writes one line of JSON. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { toInkstoneError } from "../errors.ts";
import { listDevices } from "./devices.ts";
import { loadNative } from "./library.ts";
import { probeMarker } from "./probe.ts";
import type { NativeProbe } from "./probe.ts";

function probe(directory: string): NativeProbe {
  const complaints: string[] = [];
  try {
    const native = loadNative({
      directory,
      onLog: ({ level, text }) => {
        if (level === "warn" || level === "error") complaints.push(text.trim());
      },
    });
    const devices = listDevices(native).map(({ name, description, type, totalBytes, freeBytes }) => ({
      name,
      description,
      type,
      totalBytes,
      freeBytes,
    }));
    return { ok: true, version: native.version, devices, backends: loadedBackends(), complaints };
  } catch (error) {
    return { ok: false, message: toInkstoneError(error).message };
  }
}

/** The backends among the files that are mapped into this process. */
function loadedBackends(): string[] {
  let maps: string;
  try {
    maps = readFileSync("/proc/self/maps", "utf8");
  } catch {
    return [];
  }
  const names = maps.split("\n").map((line) => path.basename(line.slice(line.indexOf("/") + 1)));
  return [...new Set(names)]
    .filter((name) => /^libggml-.*\.so$/.test(name) && name !== "libggml-base.so")
    .toSorted();
}

process.stdout.write(`${probeMarker}${JSON.stringify(probe(process.argv[2] ?? ""))}\n`);
