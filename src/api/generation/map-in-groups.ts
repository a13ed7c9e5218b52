/** Tokenises at a time for one request: the queue of the tokeniser is for all of them. */
export const tokenizeGroupSize = 8;

/** Like `Promise.all` over a map, with at most `size` calls under way. Rejects with the first error; no further group begins. */
export async function mapInGroups<T, R>(
  items: readonly T[],
  size: number,
  map: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += size) {
    const group = items.slice(start, start + size);
    results.push(...(await Promise.all(group.map((item, index) => map(item, start + index)))));
  }
  return results;
}
