/** Two rates closer than this are one. */
const STEP = 1.04;
const LOWEST = 20;

/**
 * The highest rate at which `holds` answers true, to within 4 %, looked for from `guess` on: up or down in growing
 * strides, then by halving. 0 when even 20 a second do not hold.
 */
export async function highestRate(guess: number, holds: (rate: number) => Promise<boolean>): Promise<number> {
  let low = 0;
  let high = Number.POSITIVE_INFINITY;
  let stride = STEP ** 2;
  for (let rate = guess; low === 0 || high === Number.POSITIVE_INFINITY; stride **= 2) {
    if (await holds(Math.round(rate))) low = rate;
    else high = rate;
    if (high <= LOWEST) return 0;
    rate = low === 0 ? Math.max(LOWEST, high / stride) : low * stride;
    if (low > 0 && high !== Number.POSITIVE_INFINITY) break;
  }
  while (high / low > STEP) {
    const middle = Math.sqrt(low * high);
    if (await holds(Math.round(middle))) low = middle;
    else high = middle;
  }
  return Math.round(low);
}
