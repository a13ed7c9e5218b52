import { isIP } from "node:net";

import type { Config } from "../config/schema.ts";
import { InkstoneError } from "../errors.ts";

/** Does this address reach no further than this machine? */
export function isLoopbackHost(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (address === "localhost" || address === "::1") return true;
  return isIP(address) === 4 && address.startsWith("127.");
}

/** Throws `unsafe_host` for an address that others reach when neither keys nor `insecure` are given. */
export function assertSafeHost({ host, apiKeyFile, insecure }: Config): void {
  if (isLoopbackHost(host) || apiKeyFile !== null || insecure) return;
  throw new InkstoneError(
    "unsafe_host",
    `--host ${host} lets others on the network use this server without a key`,
    {
      param: "host",
    },
  );
}
