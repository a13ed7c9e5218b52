/**
 * The one table of errors. Each has a stable code, the HTTP status it is answered with, the exit code of the command
 * line, OpenAI's error type, and what the user can do next. `docs/errors.md` is made from it.
 */

/** OpenAI's `error.type`. */
export type ErrorType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "not_found_error"
  | "rate_limit_error"
  | "server_error";

/** One row of the table. */
export interface ErrorRow {
  /** HTTP status of an answer that carries this error. */
  readonly status: number;
  readonly type: ErrorType;
  /**
   * Exit status of the command line: 1 a failure, 2 wrong use, 3 the environment, 4 the model. A command that a signal
   * stopped ends with that signal's own: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
   */
  readonly exitCode: number;
  /** What the user can do next; one sentence. */
  readonly hint: string;
}

const row = (status: number, type: ErrorType, exitCode: number, hint: string): ErrorRow => ({
  status,
  type,
  exitCode,
  hint,
});

export const errorTable = {
  // requests
  invalid_json: row(400, "invalid_request_error", 2, "Send a body that is valid JSON."),
  invalid_request: row(
    400,
    "invalid_request_error",
    2,
    "Correct the named parameter; /openapi.json describes each one.",
  ),
  unsupported_parameter: row(400, "invalid_request_error", 2, "Leave the named parameter out."),
  context_length_exceeded: row(
    400,
    "invalid_request_error",
    2,
    "Shorten the input, lower max_tokens, or serve with a larger --context-window.",
  ),
  invalid_grammar: row(400, "invalid_request_error", 2, "Correct the grammar; it is read as GBNF."),
  template_failed: row(
    400,
    "invalid_request_error",
    2,
    "Change the messages so that the model's chat template accepts them.",
  ),
  template_broken: row(
    500,
    "server_error",
    4,
    "Fetch or convert the model again, or use /v1/completions, which needs no chat template.",
  ),
  origin_not_allowed: row(
    403,
    "permission_error",
    2,
    "Name the page's origin in --cors-origins when the server starts.",
  ),
  host_not_allowed: row(
    403,
    "permission_error",
    2,
    "Use localhost or 127.0.0.1 in the address, or serve with --api-key-file.",
  ),
  invalid_api_key: row(401, "authentication_error", 2, "Send a valid key as `Authorization: Bearer KEY`."),
  not_found: row(404, "not_found_error", 2, "Look at /openapi.json for the paths that exist."),
  method_not_allowed: row(405, "invalid_request_error", 2, "Use the method that /openapi.json names."),
  model_not_found: row(404, "not_found_error", 2, "GET /v1/models lists the models that are served."),
  request_timeout: row(
    408,
    "invalid_request_error",
    1,
    "Send the body faster or raise --request-timeout-ms.",
  ),
  body_too_large: row(
    413,
    "invalid_request_error",
    2,
    "Send a smaller body or serve with a larger --max-body-bytes.",
  ),
  headers_too_large: row(431, "invalid_request_error", 2, "Send fewer or shorter headers."),
  queue_full: row(
    429,
    "rate_limit_error",
    1,
    "Try again after the seconds in Retry-After, or serve with a larger --max-queue.",
  ),
  internal_error: row(500, "server_error", 1, "Look at the server's log for the request id."),
  tokenizer_timeout: row(
    400,
    "invalid_request_error",
    1,
    "The input took too long to tokenise or compile: send less.",
  ),
  engine_crashed: row(
    500,
    "server_error",
    1,
    "The engine failed repeatedly on this request; it was not tried again.",
  ),
  engine_unavailable: row(503, "server_error", 1, "The engine is starting or restarting: try again soon."),
  engine_crash_loop: row(
    503,
    "server_error",
    1,
    "The engine keeps failing at start: read the server's log and run `inkstone doctor`.",
  ),
  shutting_down: row(503, "server_error", 1, "The server is stopping: send the request to another one."),
  // configuration and command line
  unknown_option: row(400, "invalid_request_error", 2, "Run the command with --help for what it accepts."),
  invalid_config: row(
    400,
    "invalid_request_error",
    2,
    "Correct the named setting; `inkstone config` shows where each came from.",
  ),
  unsafe_host: row(
    400,
    "invalid_request_error",
    2,
    "Give --api-key-file, or --insecure if the network is trusted.",
  ),
  port_in_use: row(500, "server_error", 3, "Stop the other program or choose another --port."),
  server_unreachable: row(
    503,
    "server_error",
    3,
    "Start it with `inkstone serve`, or name its address with --url.",
  ),
  // models
  model_unknown: row(
    404,
    "not_found_error",
    4,
    "`inkstone ls` lists what is here; a path to a .gguf file works too.",
  ),
  model_file_missing: row(404, "not_found_error", 4, "Check the path."),
  model_file_truncated: row(
    500,
    "server_error",
    4,
    "Fetch the file again: it is shorter than its header says.",
  ),
  model_file_invalid: row(
    500,
    "server_error",
    4,
    "The file is not a GGUF that this version reads; fetch or convert it again.",
  ),
  model_version_unsupported: row(
    500,
    "server_error",
    4,
    "Update Inkstone, or convert the model with an older converter.",
  ),
  model_load_failed: row(
    500,
    "server_error",
    4,
    "Read the library's message above; `inkstone doctor` checks the machine.",
  ),
  model_in_use: row(409, "invalid_request_error", 4, "Stop the server that uses it first."),
  download_failed: row(
    502,
    "server_error",
    3,
    "Check the network, proxy and index settings, then run the command again: it resumes.",
  ),
  checksum_mismatch: row(502, "server_error", 4, "The file was removed; fetch it again or check the mirror."),
  offline: row(
    503,
    "server_error",
    3,
    "Fetch the model on a connected machine, or give a path to a .gguf file.",
  ),
  disk_full: row(507, "server_error", 3, "Free some space, or set INKSTONE_CACHE_DIR to a larger disk."),
  cache_not_writable: row(500, "server_error", 3, "Make the directory writable or set INKSTONE_CACHE_DIR."),
  out_of_memory: row(500, "server_error", 3, "Lower --context-window, --max-num-seqs or --kv-cache-tokens."),
  // native library
  native_not_found: row(
    500,
    "server_error",
    3,
    "Run `inkstone doctor`; it says which library this machine needs.",
  ),
  native_mismatch: row(
    500,
    "server_error",
    3,
    "Install the exact library version that this Inkstone was built for.",
  ),
  native_platform_unsupported: row(
    500,
    "server_error",
    3,
    "Run `inkstone doctor --build-native` to build the library from source.",
  ),
  native_build_failed: row(500, "server_error", 3, "Read the build log that the message names."),
  machine_unfit: row(500, "server_error", 3, "Mend what the report marks, then run `inkstone doctor` again."),
  interrupted: row(499, "server_error", 130, "Run the command again."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** Extra facts for the one who reads the error. */
export interface ErrorDetails {
  /** The request parameter or setting at fault. */
  readonly param?: string;
  /** Seconds for a Retry-After header. */
  readonly retryAfterS?: number;
  readonly cause?: unknown;
}

/** An error of the table. `message` says what happened, with the values at hand; `hint` what to do next. */
export class InkstoneError extends Error {
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterS: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "InkstoneError";
    this.code = code;
    this.param = details.param;
    this.retryAfterS = details.retryAfterS;
  }

  get row(): ErrorRow {
    return errorTable[this.code];
  }

  get hint(): string {
    return this.row.hint;
  }
}

/** Any thrown value as an error of the table; what is unknown becomes `internal_error`. */
export function toInkstoneError(error: unknown): InkstoneError {
  if (error instanceof InkstoneError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new InkstoneError("internal_error", message, { cause: error });
}
