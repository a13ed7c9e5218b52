import { describe, expect, test } from "vitest";
import { createLogger, formatLogLine } from "./logger.ts";

function capture(format: "json" | "pretty", level: "info" | "debug" = "info") {
  const lines: string[] = [];
  const logger = createLogger({ level, format, destination: { write: (text) => lines.push(text) } });
  return { lines, logger };
}

describe("createLogger", () => {
  test("JSON lines carry level, time, message, own and inherited fields, and nothing of the machine", () => {
    const { lines, logger } = capture("json");
    logger.child({ model: "m" }).info({ status: 200 }, "request");
    const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
    expect(line).toMatchObject({ level: "info", msg: "request", status: 200, model: "m" });
    expect(new Date(String(line["time"])).getTime()).toBeGreaterThan(0);
    expect(Object.keys(line).toSorted()).toEqual(["level", "model", "msg", "status", "time"]);
  });

  test("lines under the level are dropped", () => {
    const { lines, logger } = capture("json");
    logger.debug({}, "hidden");
    expect(lines).toEqual([]);
  });

  test("an error field keeps its stack for the operator", () => {
    const { lines, logger } = capture("json");
    logger.error({ error: new Error("broken") }, "failed");
    expect(lines[0]).toContain('"message":"broken"');
    expect(lines[0]).toContain("logger.test.ts");
  });

  test("pretty lines are one line with quoted values", () => {
    const { lines, logger } = capture("pretty");
    logger.warn({ status: 429, path: "/v1/models", note: "two words" }, "request");
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d WARN {2}request status=429 path=\/v1\/models note="two words"\n$/,
    );
  });
});

describe("formatLogLine", () => {
  const line = JSON.stringify({ level: "error", time: "2026-01-02T03:04:05.000Z", msg: "m" });

  test("colours only when asked", () => {
    expect(formatLogLine(line, true)).toBe("03:04:05 \u001b[31mERROR\u001b[0m m\n");
    expect(formatLogLine(line, false)).toBe("03:04:05 ERROR m\n");
  });

  test("control characters and marks of direction are escaped", () => {
    const path = "/a\u001b[2J\u007f\u009b31m\u202e\u2028b";
    const pretty = formatLogLine(
      JSON.stringify({ level: "info", time: "2026-01-02T03:04:05Z", msg: "m", path }),
      false,
    );
    expect(pretty.trimEnd()).toMatch(/^[\u0020-\u007e]+$/);
    expect(pretty).toContain('path="/a\\u001b[2J\\u007f\\u009b31m\\u202e\\u2028b"');
  });

  test("a line break in a value cannot forge a second line", () => {
    const forged = JSON.stringify({
      level: "info",
      time: "2026-01-02T03:04:05Z",
      msg: "m",
      path: "/a\nINFO x",
    });
    expect(formatLogLine(forged, false).trimEnd().split("\n")).toHaveLength(1);
  });
});
