import { defaultApiSettings } from "../api/settings.ts";
import type { ApiSettings } from "../api/settings.ts";
import type { Config } from "../config/schema.ts";
import { isLoopbackHost } from "./host-safety.ts";
import { packageVersion } from "./package-info.ts";

/** The API's settings from the configuration. */
export function toApiSettings(config: Config): ApiSettings {
  return {
    ...defaultApiSettings,
    maxBodyBytes: config.maxBodyBytes,
    requestTimeoutMs: config.requestTimeoutMs,
    corsOrigins: config.corsOrigins,
    onlyLocalHosts: config.apiKeyFile === null && isLoopbackHost(config.host),
    shareCacheAcrossKeys: config.shareCacheAcrossKeys,
    version: packageVersion(),
  };
}
