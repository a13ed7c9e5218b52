/** Chooses the bookkeeping that belongs to a layout. */
import type { KvLayout } from "../types.ts";
import type { KvCache, KvCacheOptions } from "./kv-cache.ts";
import { StreamsCache } from "./streams-cache.ts";
import { UnifiedCache } from "./unified-cache.ts";

export function createCache(layout: KvLayout, options: KvCacheOptions): KvCache {
  return layout === "unified" ? new UnifiedCache(options) : new StreamsCache(options);
}
