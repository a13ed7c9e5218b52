/** A model as the commands know it, and how it is found. */

/** Bytes that arrived so far; sent at most ten times a second. */
export interface FetchProgress {
  readonly label: string;
  readonly receivedBytes: number;
  /** null where the server did not say. */
  readonly totalBytes: number | null;
  /** Bytes a second over the last seconds. */
  readonly bytesPerSecond: number;
  /** "wait": another process downloads the same file, and what it has so far is reported. */
  readonly phase: "download" | "verify" | "unpack" | "wait";
}

/** What is known about a model before it is fetched. */
export interface ExpectedModel {
  /** Name to store it under. */
  readonly name: string;
  /** SHA-256 of the GGUF in hexadecimal; null where nobody pinned it. */
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
}

/** Where warnings go, such as a retried download; pino fits. Never given credentials. */
export interface ModelsLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface ResolveOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Never use the network; throws `offline` where it would be needed. */
  readonly offline?: boolean;
  /** Look for a newer version and check every byte, also when the model is here. */
  readonly refresh?: boolean;
  readonly expected?: ExpectedModel;
}

/** A model whose files are here and were verified. */
export interface ResolvedModel {
  /** What the user wrote. */
  readonly reference: string;
  /** Short name for `ls`, `ps` and the API, such as "smollm2-135m". */
  readonly name: string;
  /** The GGUF files in order. */
  readonly paths: readonly string[];
  readonly sizeBytes: number;
}

/** A place that models come from. One file each in `sources/`. */
export interface ModelSource {
  /** The part before the colon in a reference, such as "pypi"; "" for a path. */
  readonly scheme: string;
  /** Does this source answer for the reference? */
  accepts(reference: string): boolean;
  resolve(reference: string, options: ResolveOptions): Promise<ResolvedModel>;
}

/** A row of `inkstone ls`. */
export interface StoredModel {
  readonly name: string;
  readonly reference: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
  readonly paths: readonly string[];
}
