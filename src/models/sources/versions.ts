/** Enough of PEP 440 to find the newest release and to compare a version that a user wrote. */

/** A version as numbers to compare, or null for what is no version. */
export interface ParsedVersion {
  readonly epoch: number;
  readonly release: readonly number[];
  /** Alpha, beta, candidate or development release. */
  readonly isPrerelease: boolean;
  /** What stands after the release, in order of age: dev < a < b < rc < (nothing) < post. */
  readonly suffix: readonly number[];
}

const pattern =
  /^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+[a-z0-9.]+)?$/i;

const stages: Readonly<Record<string, number>> = {
  a: 1,
  alpha: 1,
  b: 2,
  beta: 2,
  c: 3,
  rc: 3,
  pre: 3,
  preview: 3,
};
const finalStage = 4;

/** Reads a version. */
export function parseVersion(text: string): ParsedVersion | null {
  const match = pattern.exec(text.trim());
  if (match === null) return null;
  const [, epoch, release = "", stage, stageNumber, barePost, post, postNumber, dev, devNumber] = match;
  const isDev = dev !== undefined;
  const isPost = barePost !== undefined || post !== undefined;
  const onlyDev = isDev && stage === undefined && !isPost;
  const stageRank =
    stage === undefined ? (onlyDev ? 0 : finalStage) : (stages[stage.toLowerCase()] ?? finalStage);
  return {
    epoch: Number(epoch ?? 0),
    release: release.split(".").map(Number),
    isPrerelease: stage !== undefined || isDev,
    suffix: [
      stageRank,
      Number(stageNumber || 0),
      isPost ? Number(barePost ?? (postNumber || 0)) : -1,
      isDev ? Number(devNumber || 0) : Number.MAX_SAFE_INTEGER,
    ],
  };
}

/** Below zero where `a` is older, zero where they are equal (1.0 and 1.0.0 are). */
export function compareVersions(a: ParsedVersion, b: ParsedVersion): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch;
  return compareNumbers(a.release, b.release) || compareNumbers(a.suffix, b.suffix);
}

/** Do two texts name the same version? */
export function isSameVersion(a: string, b: string): boolean {
  const parsedA = parseVersion(a);
  const parsedB = parseVersion(b);
  return parsedA === null || parsedB === null ? a === b : compareVersions(parsedA, parsedB) === 0;
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
