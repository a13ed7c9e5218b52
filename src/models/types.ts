/** A model as the commands know it, and how it is found. */

/** Bytes that arrived so far; sent at most ten times a second. */
export interface FetchProgress {
  readonly label: string;
  readonly receivedBytes: number;
  /** null where the server did not say. */
  readonly totalBytes: number | null;
  /** Bytes a second over the last seconds. */
  readonly bytesPerSecond: number;
  readonly phase: "download" | "verify" | "unpack";
}

export interface ResolveOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FetchProgress) => void;
  /** Never use the network; throws `offline` where it would be needed. */
  readonly offline?: boolean;
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
