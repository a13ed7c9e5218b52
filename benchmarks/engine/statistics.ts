/** Numbers of several repetitions as one. */

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly values: readonly number[];
}

/** The value below which the share `fraction` (0 to 1) of the values lies, linearly interpolated. NaN for none. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/** The middle of the values. NaN for none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function summarise(values: readonly number[]): Summary {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), values };
}

/** Ratios of values that were measured in the same repetition, which cancels the machine's drift between repetitions. */
export function pairedRatios(numerators: readonly number[], denominators: readonly number[]): Summary {
  const ratios: number[] = [];
  for (const [index, numerator] of numerators.entries()) {
    const denominator = denominators[index];
    if (denominator !== undefined) ratios.push(numerator / denominator);
  }
  return summarise(ratios);
}
