/** One reading thread of `measureBandwidth`. */
import { parentPort, workerData } from "node:worker_threads";
import type { BandwidthAnswer, BandwidthTask } from "./memory-bandwidth.ts";

const task = workerData as BandwidthTask;
const buffer = Buffer.alloc(task.bufferBytes, 1);
const absent = 2;

function read(): BandwidthAnswer {
  const startedAt = performance.now();
  let readBytes = 0;
  do {
    // the C library's memchr: it reads as quickly as the processor can
    buffer.indexOf(absent);
    readBytes += buffer.length;
  } while (performance.now() - startedAt < task.durationMs);
  return { readBytes, elapsedMs: performance.now() - startedAt };
}

parentPort?.once("message", () => parentPort?.postMessage(read()));
parentPort?.postMessage({ readBytes: 0, elapsedMs: 0 } satisfies BandwidthAnswer);
