/** Reads GET /metrics. */

/** The sum of a metric over all its label sets; NaN when the server does not report it. */
export async function readMetric(
  url: string,
  name: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers })).text();
  const values = text
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
  return values.length === 0 ? Number.NaN : values.reduce((sum, each) => sum + each, 0);
}
