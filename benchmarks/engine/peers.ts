/** Finds what benchmarks/peers/build.sh built. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";

/**
 * Folder of llama-server, llama-bench and llama-batched-bench: in INKSTONE_PEERS_DIR, else in the user's cache. Throws when they
 * were not built.
 */
export function findPeers(): string {
  const cache = process.env["XDG_CACHE_HOME"] ?? `${homedir()}/.cache`;
  const folder = `${process.env["INKSTONE_PEERS_DIR"] ?? `${cache}/inkstone/peers`}/bin`;
  if (!existsSync(`${folder}/llama-server`)) {
    throw new Error(`${folder}/llama-server is missing: run benchmarks/peers/build.sh`);
  }
  return folder;
}
