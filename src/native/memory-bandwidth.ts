/** Measures how quickly this process can read memory: what decoding on a CPU is bound by. */
import { Worker } from "node:worker_threads";

export interface BandwidthOptions {
  readonly threads: number;
  /** The buffers together are at least four times as large. */
  readonly lastLevelCacheBytes: number | null;
  /** The buffers together take at most a quarter of this. */
  readonly usableMemoryBytes: number;
  /** How long is read; making the buffers comes on top. */
  readonly durationMs?: number;
}

export interface Bandwidth {
  readonly bytesPerSecond: number;
  readonly threads: number;
  readonly bufferBytes: number;
}

/** What a worker is given, and what it answers. */
export interface BandwidthTask {
  readonly bufferBytes: number;
  readonly durationMs: number;
}
/** Sent first when the buffer is ready, with nothing read; then, after any message to the worker, with the result. */
export interface BandwidthAnswer {
  readonly readBytes: number;
  readonly elapsedMs: number;
}

const mebibyte = 1024 ** 2;

/** Size of each thread's buffer. */
export function bufferBytesPerThread(options: BandwidthOptions): number {
  const wanted = Math.max(64 * mebibyte, (4 * (options.lastLevelCacheBytes ?? 0)) / options.threads);
  const allowed = options.usableMemoryBytes / 4 / options.threads;
  return Math.max(mebibyte, Math.floor(Math.min(wanted, allowed) / mebibyte) * mebibyte);
}

/** Streams through one buffer a thread, all at once, and adds up. Rejects when a worker fails. */
export async function measureBandwidth(options: BandwidthOptions): Promise<Bandwidth> {
  const bufferBytes = bufferBytesPerThread(options);
  const task: BandwidthTask = { bufferBytes, durationMs: options.durationMs ?? 800 };
  const script = new URL("./memory-bandwidth-worker.js", import.meta.url);
  const workers = Array.from({ length: options.threads }, () => new Worker(script, { workerData: task }));
  try {
    await Promise.all(workers.map(nextAnswer));
    // all start when the last one has its buffer
    const answers = await Promise.all(
      workers.map((worker) => {
        worker.postMessage("start");
        return nextAnswer(worker);
      }),
    );
    return {
      bytesPerSecond: answers.reduce((sum, answer) => sum + (answer.readBytes / answer.elapsedMs) * 1000, 0),
      threads: options.threads,
      bufferBytes,
    };
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function nextAnswer(worker: Worker): Promise<BandwidthAnswer> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      worker.removeAllListeners();
      act();
    };
    worker.once("message", (answer: BandwidthAnswer) => settle(() => resolve(answer)));
    worker.once("error", (error) => settle(() => reject(error)));
    worker.once("exit", (code) =>
      settle(() => reject(new Error(`a measuring thread ended with status ${code}`))),
    );
  });
}
