/** What the server process and its children say to each other. Plain data: it crosses a pipe as a structured clone. */
import { InkstoneError, toInkstoneError } from "../../errors.ts";
import type { ErrorCode } from "../../errors.ts";
import type {
  EngineConfig,
  EngineInfo,
  EngineRequest,
  EngineStats,
  RequestUpdate,
  TokenId,
  VocabularyData,
} from "../types.ts";

/** An `InkstoneError` as data. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param: string | undefined;
  readonly retryAfterS: number | undefined;
}

/** Any thrown value as data for the pipe. */
export function toWireError(error: unknown): WireError {
  const { code, message, param, retryAfterS } = toInkstoneError(error);
  return { code, message, param, retryAfterS };
}

/** The error that the other process threw. */
export function fromWireError({ code, message, param, retryAfterS }: WireError): InkstoneError {
  return new InkstoneError(code, message, { param, retryAfterS });
}

/** Faults and delays that tests ask of children with the scripted executor. */
export interface ScriptedFaults {
  /** Each step takes at least as long. */
  readonly stepDelayMs?: number;
  /** The engine kills itself in a step that computes this token. */
  readonly crashOnToken?: TokenId;
  /** The engine never returns from a step that computes this token. */
  readonly hangOnToken?: TokenId;
  /** The engine fails to load unless this file exists. */
  readonly requireFile?: string;
  /** The tokeniser never returns for a text or grammar that contains this. */
  readonly hangOnText?: string;
  /** The tokeniser kills itself on a text or grammar that contains this. */
  readonly crashOnText?: string;
}

/** Server to engine. `load` comes first, once; the others after `ready`. */
export type ToEngine =
  | { readonly type: "load"; readonly config: EngineConfig; readonly scripted: ScriptedFaults }
  /** `handle` stands for the request in `running` and `step`. */
  | { readonly type: "submit"; readonly handle: number; readonly request: EngineRequest }
  | { readonly type: "cancel"; readonly id: string }
  | { readonly type: "shutdown" };

/** One step of the engine. */
export interface StepMessage {
  readonly type: "step";
  /** Handle, token, handle, token…: requests to which the step brought one token and nothing else. */
  readonly plain: readonly number[];
  /** All other updates. A request stands in only one of the two. */
  readonly updates: readonly RequestUpdate[];
  /** Values in the order of `statsKeys`. */
  readonly stats: readonly number[];
}

/** Engine to server. */
export type FromEngine =
  | { readonly type: "ready"; readonly info: EngineInfo }
  | { readonly type: "load-failed"; readonly error: WireError }
  /** The requests that the next native call computes; sent before it, when they are others than before or it computes a prompt. */
  | { readonly type: "running"; readonly handles: readonly number[]; readonly nPromptTokens: number }
  | StepMessage
  /** The engine can not go on; it exits after this. */
  | { readonly type: "fatal"; readonly error: WireError };

/** Server to tokeniser. One call at a time: the next one is sent after the answer. */
export type ToTokenizer =
  | {
      readonly type: "load";
      readonly config: EngineConfig;
      readonly wantVocabulary: boolean;
      readonly scripted: ScriptedFaults;
    }
  | {
      readonly type: "tokenize";
      readonly text: string;
      readonly addSpecial: boolean;
      readonly parseSpecial: boolean;
    }
  | { readonly type: "check-grammar"; readonly grammar: string }
  | { readonly type: "shutdown" };

/** Tokeniser to server. */
export type FromTokenizer =
  | { readonly type: "ready"; readonly vocabulary: VocabularyData | null }
  | { readonly type: "load-failed"; readonly error: WireError }
  /** Empty for a grammar. */
  | { readonly type: "result"; readonly tokens: Int32Array }
  | { readonly type: "failed"; readonly error: WireError }
  | { readonly type: "fatal"; readonly error: WireError };

/** The order of the numbers in `StepMessage.stats`. */
export const statsKeys = [
  "running",
  "waiting",
  "kvUsedTokens",
  "kvLiveTokens",
  "kvTotalTokens",
  "steps",
  "promptTokens",
  "generatedTokens",
  "preemptions",
  "prefixCacheQueries",
  "prefixCacheHits",
  "evictedTokens",
] as const satisfies readonly (keyof EngineStats)[];

/** Counters as numbers for the pipe. */
export function packStats(stats: EngineStats): number[] {
  return statsKeys.map((key) => stats[key]);
}
