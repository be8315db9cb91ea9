// Shapes between two shapes: by how far each pixel lies within or without both.

const FAR_MM = 1e6;

/**
 * What lies between two masks: a function of the share of the way from the first to the second.
 * Source: Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE Trans Med Imaging 9:32 (1990).
 * @param {Uint8Array[]} ends 1 within @param {number} columns @param {[number, number]} spacingMm
 */
export function between(ends, columns, spacingMm) {
  const [from, to] = ends.map((mask) => withinMm(mask, columns, spacingMm));
  return (/** @type {number} */ share) => Uint8Array.from(from, (mm, n) => ((1 - share) * mm + share * to[n] > 0 ? 1 : 0));
}

/** How far within a mask each pixel lies, negative without [mm]. @param {Uint8Array} mask @param {number} columns @param {[number, number]} spacingMm */
function withinMm(mask, columns, spacingMm) {
  const within = toNearestMm(mask.map((one) => 1 - one), columns, spacingMm);
  const without = toNearestMm(mask, columns, spacingMm);
  return within.map((mm, n) => mm - without[n]);
}

/** To the nearest pixel that is 1, by steps along rows, columns and diagonals: up to 8 % too far [mm]. @param {Uint8Array} mask @param {number} columns @param {[number, number]} spacingMm */
function toNearestMm(mask, columns, [rowMm, columnMm]) {
  const wide = columns + 2; // with a pixel around all, so that each has neighbours
  const mm = new Float32Array((mask.length / columns + 2) * wide).fill(FAR_MM);
  const placeOf = (/** @type {number} */ n) => (Math.floor(n / columns) + 1) * wide + (n % columns) + 1;
  mask.forEach((one, n) => { if (one) mm[placeOf(n)] = 0; });
  const diagonalMm = Math.hypot(rowMm, columnMm);
  const neighbours = [[-1, columnMm], [-wide, rowMm], [-wide - 1, diagonalMm], [-wide + 1, diagonalMm]];
  for (const step of [1, -1]) {
    for (let n = 0; n < mask.length; n += 1) {
      const at = placeOf(step > 0 ? n : mask.length - 1 - n);
      for (const [away, awayMm] of neighbours) mm[at] = Math.min(mm[at], mm[at + step * away] + awayMm);
    }
  }
  return Float32Array.from(mask, (_, n) => mm[placeOf(n)]);
}
