import { describe, expect, test } from "vitest";
import { readJsonBody } from "./read-json-body.ts";

const limits = { maxBodyBytes: 20, requestTimeoutMs: 10_000 };

function post(body: RequestInit["body"], headers: Record<string, string> = {}) {
  return new Request("http://localhost/", { method: "POST", body, headers, duplex: "half" });
}

describe("readJsonBody", () => {
  test("JSON, with a byte order mark too", async () => {
    expect(await readJsonBody(post('{"a":1}'), limits)).toEqual({ a: 1 });
    expect(await readJsonBody(post('\uFEFF{"a":1}'), limits)).toEqual({ a: 1 });
  });

  test("exactly the limit is taken", async () => {
    expect(await readJsonBody(post(`"${"x".repeat(18)}"`), limits)).toHaveLength(18);
  });

  test("a body whose announced size is beyond the limit is thrown away as it comes, and then refused", async () => {
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulls++;
          if (pulls <= 3) controller.enqueue(Buffer.from("0123456"));
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    await expect(readJsonBody(post(body, { "content-length": "21" }), limits)).rejects.toMatchObject({
      code: "body_too_large",
      message: "the body has 21 bytes; this server takes at most 20",
    });
    expect(pulls).toBe(4);
  });

  test("an endless body is given up at a few times the limit", async () => {
    let pulls = 0;
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulls++;
          controller.enqueue(Buffer.from("0123456789"));
        },
        cancel() {
          isCancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    await expect(readJsonBody(post(body), limits)).rejects.toMatchObject({ code: "body_too_large" });
    expect(pulls).toBe(3 + 8);
    expect(isCancelled).toBe(true);
  });

  test("a body that does not come is a timeout", async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(Buffer.from("{")),
    });
    await expect(readJsonBody(post(body), { ...limits, requestTimeoutMs: 20 })).rejects.toMatchObject({
      code: "request_timeout",
      message: "the body had not arrived after 20 ms; 1 bytes had",
    });
  });

  test("a client that leaves while it sends", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("reset")),
    });
    await expect(readJsonBody(post(body), limits)).rejects.toMatchObject({ code: "interrupted" });
  });

  test("no JSON, no UTF-8, nothing", async () => {
    await expect(readJsonBody(post("{]"), limits)).rejects.toThrow(/the body is not valid JSON: /);
    await expect(readJsonBody(post(Uint8Array.of(0x22, 0xff, 0x22)), limits)).rejects.toThrow("not UTF-8");
    await expect(readJsonBody(post(""), limits)).rejects.toThrow("the body is empty");
  });
});
