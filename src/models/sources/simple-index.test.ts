import { describe, expect, test } from "vitest";
import { chooseWheel, parseSimplePage, wheelVersion } from "./simple-index.ts";
import type { Wheel } from "./simple-index.ts";

const sha = "a".repeat(64);
const url = "https://index.example/root/simple/my-model/";

describe("pages", () => {
  test("in JSON", () => {
    const text = JSON.stringify({
      meta: { "api-version": "1.1" },
      files: [
        { filename: "my_model-1.0.tar.gz", url: "x", hashes: {} },
        { filename: "other-1.0-py3-none-any.whl", url: "x", hashes: {} },
        {
          filename: "My.Model-1.0-py3-none-any.whl",
          url: "../../files/m.whl",
          hashes: { sha256: sha.toUpperCase(), md5: "x" },
          size: 7,
          yanked: "broken",
        },
      ],
    });
    expect(
      parseSimplePage({ text, contentType: "application/vnd.pypi.simple.v1+json", url }, "my-model"),
    ).toEqual([
      {
        fileName: "My.Model-1.0-py3-none-any.whl",
        url: "https://index.example/root/files/m.whl",
        version: "1.0",
        sha256: sha,
        sizeBytes: 7,
        isYanked: true,
      },
    ]);
  });

  test("in HTML", () => {
    const text = `<!DOCTYPE html><html><body>
      <a href="/files/my_model-1.0-py3-none-any.whl#sha256=${sha}" data-requires-python="&gt;=3.9">x</a>
      <a data-yanked="" href='my_model-1.1%2Bcpu-py3-none-any.whl?a=1&amp;b=2'>y</a>
      <a href="my_model-1.1.tar.gz">z</a></body></html>`;
    expect(parseSimplePage({ text, contentType: "text/html", url }, "my-model")).toEqual([
      {
        fileName: "my_model-1.0-py3-none-any.whl",
        url: "https://index.example/files/my_model-1.0-py3-none-any.whl",
        version: "1.0",
        sha256: sha,
        sizeBytes: null,
        isYanked: false,
      },
      {
        fileName: "my_model-1.1+cpu-py3-none-any.whl",
        url: "https://index.example/root/simple/my-model/my_model-1.1%2Bcpu-py3-none-any.whl?a=1&b=2",
        version: "1.1+cpu",
        sha256: null,
        sizeBytes: null,
        isYanked: true,
      },
    ]);
  });

  test("that are something else are refused", () => {
    expect(parseSimplePage({ text: "{", contentType: "application/json", url }, "m")).toBeNull();
    expect(parseSimplePage({ text: '{"files":1}', contentType: "application/json", url }, "m")).toBeNull();
    expect(parseSimplePage({ text: "busy", contentType: "text/plain", url }, "m")).toBeNull();
  });
});

test("a wheel's name tells its version", () => {
  expect(wheelVersion("a_b-1.0-1-py3-none-any.whl", "a-b")).toBe("1.0");
  expect(wheelVersion("a_b-1.0-py3-none-manylinux_2_17_x86_64.whl", "a-b")).toBe("1.0");
  expect(wheelVersion("a_b-1.0.whl", "a-b")).toBeNull();
});

describe("the choice", () => {
  const wheel = (version: string, tag = "none-any", isYanked = false): Wheel => ({
    fileName: `m-${version}-py3-${tag}.whl`,
    url,
    version,
    sha256: null,
    sizeBytes: null,
    isYanked,
  });
  const wheels = [
    wheel("1.9"),
    wheel("1.10", "cp312-linux"),
    wheel("1.10"),
    wheel("2.0rc1"),
    wheel("3.0", "none-any", true),
  ];

  test("is the newest release for any machine, not yanked", () => {
    expect(chooseWheel(wheels, null)?.fileName).toBe("m-1.10-py3-none-any.whl");
  });

  test("is a pre-release only where there is nothing else", () => {
    expect(chooseWheel([wheel("2.0rc1"), wheel("2.0b1")], null)?.version).toBe("2.0rc1");
  });

  test("is what was asked for, yanked or not", () => {
    expect(chooseWheel(wheels, "3.0.0")?.version).toBe("3.0");
    expect(chooseWheel(wheels, "4.0")).toBeNull();
  });
});
