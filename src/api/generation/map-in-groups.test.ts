import { expect, test } from "vitest";
import { mapInGroups } from "./map-in-groups.ts";

test("keeps the order, with no more calls under way than the size", async () => {
  let nRunning = 0;
  let most = 0;
  const results = await mapInGroups([..."abcdefg"], 3, async (item, index) => {
    most = Math.max(most, ++nRunning);
    await Promise.resolve();
    nRunning--;
    return `${item}${index}`;
  });
  expect(results).toEqual(["a0", "b1", "c2", "d3", "e4", "f5", "g6"]);
  expect(most).toBe(3);
});

test("after an error no further group begins", async () => {
  const seen: number[] = [];
  const run = mapInGroups([1, 2, 3, 4], 2, async (item) => {
    seen.push(item);
    if (item === 2) throw new Error("two");
  });
  await expect(run).rejects.toThrow("two");
  expect(seen).toEqual([1, 2]);
});
