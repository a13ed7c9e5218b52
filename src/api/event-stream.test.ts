import { describe, expect, test } from "vitest";
import { createEventStream, toEvent } from "./event-stream.ts";

function open(maxUnreadBytes = 1000) {
  const calls: string[] = [];
  const stream = createEventStream({
    maxUnreadBytes,
    onGone: () => calls.push("gone"),
    disconnect: () => calls.push("disconnect"),
  });
  return { stream, calls, text: () => new Response(stream.body).text() };
}

describe("createEventStream", () => {
  test("what was written before and after the reader came", async () => {
    const { stream, calls, text } = open();
    stream.write(toEvent("1"));
    const read = text();
    stream.write(toEvent('{"a":"é"}'));
    stream.write("");
    stream.close();
    expect(await read).toBe('data: 1\n\ndata: {"a":"é"}\n\n');
    expect(calls).toEqual([]);
  });

  test("after close nothing is written, and leaving is no event", async () => {
    const { stream, calls, text } = open();
    stream.close();
    stream.close();
    stream.write("late");
    expect(await text()).toBe("");
    expect(calls).toEqual([]);
  });

  test("a reader that leaves", async () => {
    const { stream, calls } = open();
    await stream.body.cancel();
    stream.write("late");
    stream.close();
    expect(calls).toEqual(["gone"]);
  });

  test("a reader that does not read", () => {
    const { stream, calls } = open(10);
    stream.write("12345");
    stream.write("67890");
    expect(calls).toEqual([]);
    stream.write("x");
    stream.write("y");
    expect(calls).toEqual(["gone", "disconnect"]);
  });
});
