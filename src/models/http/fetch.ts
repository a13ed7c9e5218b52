/** A fetch that goes through the proxies and trusts the certificates that pip and the environment name. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Dispatcher } from "undici";
import type { PipSettings, ProxyAddresses } from "../../config/pip.ts";
import { InkstoneError } from "../../errors.ts";
import { toUrl } from "./client.ts";
import type { HttpFetch } from "./client.ts";

const connectTimeoutMs = 15_000;

/** The proxies as URLs. Throws `download_failed` for SOCKS; the message holds no address. */
export function toProxyUrls({ httpProxy, httpsProxy, noProxy }: ProxyAddresses): ProxyAddresses {
  return { httpProxy: toProxyUrl(httpProxy), httpsProxy: toProxyUrl(httpsProxy), noProxy };
}

function toProxyUrl(proxy: string): string {
  if (proxy === "") return "";
  const url = proxy.includes("://") ? proxy : `http://${proxy}`;
  const protocol = toUrl(url)?.protocol;
  if (protocol === "http:" || protocol === "https:") return url;
  throw new InkstoneError(
    "download_failed",
    `A proxy of the kind "${protocol ?? "unknown"}" is set; only http:// and https:// proxies are supported.`,
  );
}

/** The fetch; the HTTP library is loaded at its first use. */
export function createPipFetch(settings: PipSettings): HttpFetch {
  let loaded: Promise<HttpFetch> | undefined;
  return async (url, init) => {
    loaded ??= load(settings);
    const fetch = await loaded;
    return await fetch(url, init);
  };
}

async function load(settings: PipSettings): Promise<HttpFetch> {
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const proxies = toProxyUrls(settings.proxies);
  const ca = readAuthorities(settings.certificatePath, settings.extraCertificatePath);
  const createAgent = (tls: { ca?: string[]; rejectUnauthorized?: boolean }): Dispatcher =>
    new EnvHttpProxyAgent({
      ...proxies,
      connect: { ...tls, timeout: connectTimeoutMs },
      requestTls: tls,
      proxyTls: tls,
      // Proxies often refuse CONNECT to plain HTTP servers.
      proxyTunnel: false,
      headersTimeout: settings.timeoutMs,
      bodyTimeout: settings.timeoutMs,
    });
  const strict = createAgent(ca === null ? {} : { ca });
  let lax: Dispatcher | undefined;
  return async (url, init) => {
    const { host, hostname } = new URL(url);
    const isTrusted = settings.trustedHosts.includes(host) || settings.trustedHosts.includes(hostname);
    if (isTrusted) lax ??= createAgent({ rejectUnauthorized: false });
    return await fetch(url, { ...init, dispatcher: (isTrusted ? lax : undefined) ?? strict });
  };
}

/** Certificates in PEM to trust instead of the built-in ones; null to trust those. */
function readAuthorities(path: string | null, extraPath: string | null): string[] | null {
  if (path === null) return null;
  const own = readPem(path);
  if (extraPath === null || extraPath === path) return own;
  try {
    return [...own, ...readPem(extraPath)];
  } catch {
    // Node itself only warns about this one.
    return own;
  }
}

function readPem(path: string): string[] {
  try {
    const files = statSync(path).isDirectory()
      ? readdirSync(path)
          .filter((name) => /\.(?:pem|crt|cer|\d+)$/.test(name))
          .map((name) => join(path, name))
      : [path];
    return [...new Set(files.map((file) => readFileSync(file, "utf8")))];
  } catch (error) {
    throw new InkstoneError(
      "download_failed",
      `The certificates that pip is configured with cannot be read: ${(error as Error).message}.`,
      { cause: error },
    );
  }
}
