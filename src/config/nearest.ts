import { distance } from "fastest-levenshtein";

/** How many letters of a word may differ: a swap of two neighbours counts as two. */
function tolerance(length: number): number {
  if (length < 3) return 0;
  return length === 3 ? 1 : Math.max(2, Math.floor(length / 3));
}

/**
 * The candidate that a mistyped word most likely meant, or null when none is near: few letters differ, or one is the
 * beginning of the other. Upper and lower case, and leading dashes, do not count.
 */
export function nearestWord(word: string, candidates: readonly string[]): string | null {
  const plain = (text: string): string => text.toLowerCase().replace(/^-+/, "");
  const wanted = plain(word);
  let best: { candidate: string; distance: number } | null = null;
  for (const candidate of candidates) {
    const other = plain(candidate);
    const between = distance(wanted, other);
    const near = between <= tolerance(Math.min(wanted.length, other.length));
    if (near && (best === null || between < best.distance)) best = { candidate, distance: between };
  }
  if (best !== null) return best.candidate;
  if (wanted.length < 3) return null;
  const beginsAlike = (other: string): boolean =>
    other.length >= 3 && (other.startsWith(wanted) || wanted.startsWith(other));
  return candidates.find((candidate) => beginsAlike(plain(candidate))) ?? null;
}

/** The end of a message about an unknown word: `; did you mean X?`, or nothing when no candidate is near. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const nearest = nearestWord(word, candidates);
  return nearest === null ? "" : `; did you mean ${nearest}?`;
}
