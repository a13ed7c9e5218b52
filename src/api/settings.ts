/** The settings that the API reads; made from the configuration by its caller. */
export interface ApiSettings {
  /** Larger request bodies are answered with 413. */
  readonly maxBodyBytes: number;
  /** A request's headers and body must have arrived within this time. Answers may take as long as they need. */
  readonly requestTimeoutMs: number;
  /** Origins whose pages may call the API; ["*"]: any; empty: CORS is off. */
  readonly corsOrigins: readonly string[];
  /** Refuse requests that name another host than this machine; for servers on a loopback address without keys. */
  readonly onlyLocalHosts: boolean;
  /** Requests with different API keys may share cached prefixes. Reuse is observable by timing: off by default. */
  readonly shareCacheAcrossKeys: boolean;
  /** A stream whose client leaves more than this unread is ended. */
  readonly maxUnreadBytes: number;
  /** Of Inkstone; part of `system_fingerprint` and /openapi.json. */
  readonly version: string;
}

/** The defaults; the version has none. */
export const defaultApiSettings: Omit<ApiSettings, "version"> = {
  maxBodyBytes: 64 * 1024 * 1024,
  requestTimeoutMs: 60_000,
  corsOrigins: [],
  onlyLocalHosts: false,
  shareCacheAcrossKeys: false,
  maxUnreadBytes: 4 * 1024 * 1024,
};
