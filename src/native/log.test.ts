import { describe, expect, test } from "vitest";
import { logLevels } from "./abi.ts";
import { NativeLog, failureReason } from "./log.ts";
import type { NativeLogLine } from "./log.ts";

describe("NativeLog", () => {
  test("puts pieces together to lines", () => {
    const seen: NativeLogLine[] = [];
    const log = new NativeLog((line) => seen.push(line));
    log.receive(logLevels.error, "load: ");
    log.receive(logLevels.continued, "no such file\nnext");
    log.receive(logLevels.continued, " line\n");
    expect(seen).toEqual([
      { level: "error", text: "load: no such file" },
      { level: "error", text: "next line" },
    ]);
  });

  test("drops debug lines with their continuations", () => {
    const seen: string[] = [];
    const log = new NativeLog((line) => seen.push(line.text));
    log.receive(logLevels.debug, "a graph\n");
    log.receive(logLevels.continued, "and more\n");
    log.receive(logLevels.info, "size = 1\n");
    expect(seen).toEqual(["size = 1"]);
  });

  test("captures only while something runs", () => {
    const log = new NativeLog(null);
    log.receive(logLevels.warn, "before\n");
    const { value, lines } = log.capture(() => {
      log.receive(logLevels.warn, "during\n");
      return 3;
    });
    expect(value).toBe(3);
    expect(lines).toEqual([{ level: "warn", text: "during" }]);
  });
});

describe("failureReason", () => {
  test("is the first error, without the name of the C function", () => {
    const lines: NativeLogLine[] = [
      { level: "warn", text: "llama_model_load: odd" },
      { level: "error", text: "llama_model_load: error loading model: file too short" },
      { level: "error", text: "llama_model_load_from_file_impl: failed to load model" },
    ];
    expect(failureReason(lines)).toBe("error loading model: file too short");
  });

  test("is the last warning when there is no error", () => {
    expect(failureReason([{ level: "warn", text: "slow" }])).toBe("slow");
    expect(failureReason([{ level: "info", text: "loading" }])).toBe("no reason given");
  });
});
