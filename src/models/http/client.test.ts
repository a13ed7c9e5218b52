import { describe, expect, test } from "vitest";
import { InkstoneError } from "../../errors.ts";
import { createHttpClient, readText, toShownUrl } from "./client.ts";
import type { HttpFetch, HttpResponse } from "./client.ts";
import { TransientError } from "./retry.ts";

interface Call {
  readonly url: string;
  readonly authorization: string | undefined;
}

function answer(status: number, headers: Record<string, string> = {}, text = ""): HttpResponse {
  const body = (async function* () {
    yield await Promise.resolve(Buffer.from(text));
  })();
  return { status, headers: { get: (name) => headers[name] ?? null }, body };
}

function client(
  answers: Readonly<Record<string, HttpResponse | Error>>,
  options: { readonly credentialUrls?: readonly string[]; readonly trustedHosts?: readonly string[] } = {},
): { http: ReturnType<typeof createHttpClient>; calls: Call[] } {
  const calls: Call[] = [];
  const fetch: HttpFetch = async (url, { headers }) => {
    calls.push({ url, authorization: headers["authorization"] });
    const found = answers[url] ?? new Error(`unexpected ${url}`);
    if (found instanceof Error) throw found;
    return await Promise.resolve(found);
  };
  const { credentialUrls = [], trustedHosts = [] } = options;
  return { http: createHttpClient({ fetch, credentialUrls, trustedHosts, now: () => 0 }), calls };
}

const basic = (pair: string): string => `Basic ${Buffer.from(pair).toString("base64")}`;

describe("credentials", () => {
  test("go to their origin only, decoded, and never into the address", async () => {
    const { http, calls } = client(
      {
        "https://a.example/simple/m/": answer(302, { location: "/other/" }),
        "https://a.example/other/": answer(307, { location: "https://b.example/m.whl" }),
        "https://b.example/m.whl": answer(200),
      },
      { credentialUrls: ["https://us%40er:p%3Ass@a.example/simple"] },
    );
    const { url } = await http.get("https://us%40er:p%3Ass@a.example/simple/m/", { headers: {} });
    expect(url).toBe("https://b.example/m.whl");
    const authorization = basic("us@er:p:ss");
    expect(calls).toEqual([
      { url: "https://a.example/simple/m/", authorization },
      { url: "https://a.example/other/", authorization },
      { url: "https://b.example/m.whl", authorization: undefined },
    ]);
  });

  test("of the index go to files on the same origin, and a redirect cannot bring its own", async () => {
    const { http, calls } = client(
      {
        "https://a.example/files/m.whl": answer(302, { location: "https://x:y@b.example/m.whl" }),
        "https://b.example/m.whl": answer(200),
      },
      { credentialUrls: ["https://u:p@a.example/simple"] },
    );
    await http.get("https://a.example/files/m.whl", { headers: {} });
    expect(calls.map((call) => call.authorization)).toEqual([basic("u:p"), undefined]);
  });

  test("of another port or scheme are not sent", async () => {
    const { http, calls } = client(
      { "https://a.example:8443/m": answer(200) },
      { credentialUrls: ["https://u:p@a.example/simple"] },
    );
    await http.get("https://a.example:8443/m", { headers: {} });
    expect(calls[0]?.authorization).toBeUndefined();
  });

  test("and signatures are not shown in errors", async () => {
    const { http } = client({ "https://a.example/m?token=secret": answer(403) });
    const failure = http.get("https://u:secret@a.example/m?token=secret", { headers: {} });
    await expect(failure).rejects.toMatchObject({
      code: "download_failed",
      message: expect.not.stringContaining("secret"),
    });
    expect(toShownUrl("https://u:p@a.example/m?q#h")).toBe("https://a.example/m");
  });
});

describe("plain HTTP", () => {
  test("is refused, also after a redirect, unless the host is trusted or this machine", async () => {
    const answers = {
      "https://a.example/m": answer(302, { location: "http://b.example/m" }),
      "http://b.example/m": answer(200),
      "http://127.0.0.1:1/m": answer(200),
    };
    const strict = client(answers);
    await expect(strict.http.get("https://a.example/m", { headers: {} })).rejects.toMatchObject({
      code: "download_failed",
      message: expect.stringContaining("trusted-host = b.example"),
    });
    expect(strict.calls).toHaveLength(1);
    await strict.http.get("http://127.0.0.1:1/m", { headers: {} });
    const lax = client(answers, { trustedHosts: ["b.example"] });
    expect((await lax.http.get("http://b.example/m", { headers: {} })).response.status).toBe(200);
  });
});

describe("faults", () => {
  test.each([408, 429, 500, 503])("%i may pass, and says when", async (status) => {
    const { http } = client({ "https://a.example/m": answer(status, { "retry-after": "7" }) });
    const failure = await http.get("https://a.example/m", { headers: {} }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(TransientError);
    expect((failure as TransientError).retryAfterMs).toBe(7000);
  });

  test("a connection that breaks may pass; a certificate does not", async () => {
    const cause = (code: string): Error => Object.assign(new Error("inner"), { code });
    const { http } = client({
      "https://a.example/m": new TypeError("fetch failed", { cause: cause("ECONNRESET") }),
      "https://b.example/m": new TypeError("fetch failed", { cause: cause("SELF_SIGNED_CERT_IN_CHAIN") }),
    });
    await expect(http.get("https://a.example/m", { headers: {} })).rejects.toThrow(TransientError);
    await expect(http.get("https://b.example/m", { headers: {} })).rejects.toThrow(InkstoneError);
  });

  test("redirects in a circle end", async () => {
    const { http } = client({ "https://a.example/m": answer(302, { location: "/m" }) });
    await expect(http.get("https://a.example/m", { headers: {} })).rejects.toMatchObject({
      code: "download_failed",
      message: expect.stringContaining("redirects more than 10 times"),
    });
  });

  test("a page without end is cut off", async () => {
    await expect(readText(answer(200, {}, "12345"), 4)).rejects.toThrow(TransientError);
    expect(await readText(answer(200, {}, "12345"), 5)).toBe("12345");
  });
});
