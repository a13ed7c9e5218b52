/** Prompts of an exact length in tokens: seeded random token ids, sent as such. */

/** Ordinary words of the vocabularies of about 50,000 tokens: above the bytes and control tokens, below the rare tail. */
const firstToken = 1000;
const lastToken = 30_000;

/** Uniform numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** As many random token ids. */
export function randomTokens(random: () => number, count: number): number[] {
  return Array.from({ length: count }, () => firstToken + Math.floor(random() * (lastToken - firstToken)));
}
