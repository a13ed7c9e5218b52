import { describe, expect, test } from "vitest";
import { Handle, disposeOnError } from "./handle.ts";

describe("Handle", () => {
  test("releases the newest child first, and children before their owner", () => {
    const released: string[] = [];
    const library = new Handle(null, () => released.push("library"));
    const model = new Handle(library, () => released.push("model"));
    new Handle(model, () => released.push("first context"));
    new Handle(model, () => released.push("second context"));
    library.dispose();
    expect(released).toEqual(["second context", "first context", "model", "library"]);
  });

  test("releases once", () => {
    let released = 0;
    const parent = new Handle(null, () => {});
    const child = new Handle(parent, () => released++);
    child.dispose();
    child.dispose();
    parent.dispose();
    expect(released).toBe(1);
  });

  test("a disposed owner takes no more children", () => {
    const parent = new Handle(null, () => {});
    parent.dispose();
    expect(() => new Handle(parent, () => {})).toThrow(/disposed/);
  });
});

describe("disposeOnError", () => {
  test("disposes and passes the error on", () => {
    const handle = new Handle(null, () => {});
    expect(() =>
      disposeOnError(handle, () => {
        throw new Error("half way");
      }),
    ).toThrow("half way");
    expect(handle.disposed).toBe(true);
  });

  test("keeps what was built", () => {
    const handle = new Handle(null, () => {});
    expect(disposeOnError(handle, () => 7)).toBe(7);
    expect(handle.disposed).toBe(false);
  });
});
