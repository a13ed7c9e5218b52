/** The settings that the API reads; made from the configuration by its caller. */
export interface ApiSettings {
  /** Larger request bodies are answered with 413. */
  readonly maxBodyBytes: number;
  /** A request's headers and body must have arrived within this time. Answers may take as long as they need. */
  readonly requestTimeoutMs: number;
  /** Origins whose pages may call the API; ["*"]: any; empty: CORS is off. */
  readonly corsOrigins: readonly string[];
  /** Requests with different API keys may share cached prefixes. Reuse is observable by timing: off by default. */
  readonly shareCacheAcrossKeys: boolean;
  /** Most tokens of a chat answer when the request does not say; null: what the context window leaves. */
  readonly defaultMaxTokens: number | null;
  /** A stream whose client leaves more than this unread is ended. */
  readonly maxUnreadBytes: number;
  /** Of Inkstone; part of `system_fingerprint` and /openapi.json. */
  readonly version: string;
}

/** The defaults; the version has none. */
export const defaultApiSettings: Omit<ApiSettings, "version"> = {
  maxBodyBytes: 32 * 1024 * 1024,
  requestTimeoutMs: 60_000,
  corsOrigins: [],
  shareCacheAcrossKeys: false,
  defaultMaxTokens: null,
  maxUnreadBytes: 4 * 1024 * 1024,
};
