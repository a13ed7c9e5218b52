import { describe, expect, test } from "vitest";

import type { FetchProgress } from "../../models/types.ts";
import { createPalette, wantsColors } from "./colors.ts";
import { formatAgo, formatBytes, formatDuration } from "./format.ts";
import { createProgressReporter, progressLine } from "./progress.ts";
import { displayWidth, renderTable } from "./table.ts";

describe("colours", () => {
  test.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [true, { NO_COLOR: "1", FORCE_COLOR: "1" }, false],
    [true, { TERM: "dumb" }, false],
    [false, { FORCE_COLOR: "1" }, true],
    [true, { FORCE_COLOR: "0" }, false],
  ])("terminal %s with %j: %s", (isTerminal, env, expected) => {
    expect(wantsColors(isTerminal, env)).toBe(expected);
  });

  test("a palette colours, or leaves the text as it is", () => {
    expect(createPalette(true, {}).red("x")).toBe("\u001b[31mx\u001b[39m");
    expect(createPalette(false, {}).red("x")).toBe("x");
  });
});

describe("numbers", () => {
  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [93_399_040, "93.4 MB"],
    [999_999, "1.00 MB"],
    [128e9, "128 GB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test.each([
    [400, "0.4 s"],
    [9_960, "10 s"],
    [59_600, "1 min 00 s"],
    [185_000, "3 min 05 s"],
    [7_800_000, "2 h 10 min"],
  ])("%d ms are %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test.each([
    [500, "just now"],
    [60_000, "1 minute ago"],
    [7_300_000, "2 hours ago"],
    [3 * 86_400_000, "3 days ago"],
  ])("%d ms ago is %s", (ms, text) => {
    expect(formatAgo(ms)).toBe(text);
  });
});

describe("tables", () => {
  test("columns line up, also under Chinese names", () => {
    expect(
      renderTable(
        ["NAME", "SIZE"],
        [
          ["模型", "1 MB"],
          ["a", "20 MB"],
        ],
      ),
    ).toBe("NAME  SIZE\n模型  1 MB\na     20 MB\n");
  });

  test("an empty one is its head", () => {
    expect(renderTable(["NAME", "SIZE"], [])).toBe("NAME  SIZE\n");
  });

  test.each([
    ["abc", 3],
    ["模型", 4],
    ["é", 1],
    ["e\u0301", 1],
    ["😀", 2],
  ])("%s takes %d columns", (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });
});

describe("progress", () => {
  const state = (given: Partial<FetchProgress> = {}): FetchProgress => ({
    label: "m",
    receivedBytes: 25_000_000,
    totalBytes: 100_000_000,
    bytesPerSecond: 5_000_000,
    phase: "download",
    ...given,
  });

  function record(isTerminal: boolean) {
    const clock = { ms: 0 };
    const written: string[] = [];
    const reporter = createProgressReporter({
      write: (text) => written.push(text),
      isTerminal,
      columns: 100,
      now: () => clock.ms,
    });
    return { clock, written, reporter };
  }

  test("piped: a line at the start, every ten seconds, at each phase, and at the end", () => {
    const { clock, written, reporter } = record(false);
    for (const ms of [0, 100, 9_999, 10_000, 10_100]) {
      clock.ms = ms;
      reporter.update(state());
    }
    reporter.update(state({ phase: "verify", bytesPerSecond: 0 }));
    clock.ms = 20_000;
    reporter.end(true);
    expect(written).toEqual([
      "downloading m: 25%, 25.0 MB of 100 MB, 5.00 MB/s, 15 s left\n",
      "downloading m: 25%, 25.0 MB of 100 MB, 5.00 MB/s, 15 s left\n",
      "verifying m: 25%, 25.0 MB of 100 MB\n",
      "m: 100 MB in 20 s\n",
    ]);
  });

  test("on a terminal one line is rewritten, and none is shown for work that ends at once", () => {
    const { clock, written, reporter } = record(true);
    reporter.update(state());
    expect(written).toEqual([]);
    clock.ms = 500;
    reporter.update(state());
    expect(written[0]).toMatch(/^\r\u001b\[Kdownloading m ▕█+ +▏ 25%, /);
    reporter.end(false);
    expect(written.at(-1)).toBe("m: stopped at 25.0 MB after 0.5 s\n");
  });

  test("nothing is said of work that reported nothing", () => {
    const { written, reporter } = record(false);
    reporter.end(true);
    expect(written).toEqual([]);
  });

  test.each([20, 40, 80, 200])("the line fits a terminal of %d columns", (columns) => {
    const line = progressLine(state({ label: "a-model-with-a-long-name" }), columns);
    expect(displayWidth(line)).toBeLessThan(columns);
  });

  test("an unknown total shows what arrived", () => {
    expect(progressLine(state({ totalBytes: null }), 80)).toBe("downloading m 25.0 MB, 5.00 MB/s");
  });
});
