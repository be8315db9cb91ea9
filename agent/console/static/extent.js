// The extent of a bleed as somebody draws it: a mask for each slice, strokes and their undoing, its volume.

import { between } from "./shapes.js";

const MOST_STROKES = 60; // that can be undone; each keeps its slice as it was, 0.3 MB at 512 × 512

/** @typedef {[number, number]} Pixel row and column */
/** @typedef {{ slices: { k: number, runs: number[] }[] }} DrawnExtent as the server keeps it */

export class Extent {
  #rows; #columns; #spacingMm; #heightsMm; #voxelsMl;
  /** @type {Map<number, Uint8Array>} */
  #masks = new Map(); // by slice; 1 within
  /** @type {Map<number, number>} */
  #counts = new Map(); // pixels within, by slice
  /** @type {[number, Uint8Array | undefined][][]} */
  #before = []; // each stroke's slices as they were

  /** @param {SliceStack} stack */
  constructor({ rows, columns, spacing_mm: spacingMm, heights_mm: heightsMm, voxels_ml: voxelsMl }) {
    this.#rows = rows;
    this.#columns = columns;
    this.#spacingMm = spacingMm;
    this.#heightsMm = heightsMm;
    this.#voxelsMl = voxelsMl;
  }

  /** @param {number} k @param {Uint8Array | undefined} mask */
  set(k, mask) {
    if (mask) this.#masks.set(k, mask);
    else this.#masks.delete(k);
    this.#counts.set(k, mask?.reduce((n, within) => n + within, 0) ?? 0);
  }

  /** @param {DrawnExtent} drawn */
  take({ slices }) {
    for (const { k, runs } of slices) {
      const mask = this.#empty();
      for (let n = 0; n < runs.length; n += 2) mask.fill(1, runs[n], runs[n] + runs[n + 1]);
      this.set(k, mask);
    }
    return this;
  }

  /** @param {number} k */
  at(k) { return this.#masks.get(k) ?? null; }

  get volumeMl() { return [...this.#counts].reduce((ml, [k, n]) => ml + n * this.#voxelsMl[k], 0); }

  /** A voxel of it, null while there is none. @returns {[number, number, number] | null} */
  get voxel() {
    const [first] = this.drawn.slices;
    return first ? [first.k, Math.floor(first.runs[0] / this.#columns), first.runs[0] % this.#columns] : null;
  }

  /** Begins a stroke in a slice. @param {number} k */
  begin(k) { this.#keep([k]); }

  /** @param {number[]} slices that are about to change at once */
  #keep(slices) {
    this.#before.push(slices.map((k) => [k, this.#masks.get(k)?.slice()]));
    if (this.#before.length > MOST_STROKES) this.#before.shift();
  }

  /** A disc drawn along a line, or rubbed out. @param {number} k @param {Pixel} from @param {Pixel} to @param {number} radiusMm @param {0 | 1} within */
  paint(k, from, to, radiusMm, within) {
    const mask = this.#masks.get(k) ?? this.#empty();
    const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
    for (let n = 0; n <= steps; n += 1) {
      this.#disc(mask, [from[0] + ((to[0] - from[0]) * n) / steps, from[1] + ((to[1] - from[1]) * n) / steps], radiusMm, within);
    }
    this.set(k, mask);
  }

  /** All that a line encloses once its ends are joined. @param {number} k @param {Pixel[]} line */
  enclose(k, line) {
    this.begin(k);
    const mask = this.#masks.get(k) ?? this.#empty();
    const rows = line.map(([row]) => row);
    for (let row = Math.min(...rows); row <= Math.max(...rows); row += 1) {
      const crossed = crossings(line, row);
      for (let n = 0; n + 1 < crossed.length; n += 2) {
        mask.fill(1, row * this.#columns + Math.ceil(crossed[n]), row * this.#columns + Math.floor(crossed[n + 1]) + 1);
      }
    }
    for (const [row, column] of line) mask[row * this.#columns + column] = 1;
    this.set(k, mask);
  }

  /** Fills the slices between those that are drawn on, the shapes changing evenly from one to the next; tells whether there were any. */
  fillBetween() {
    const drawn = this.drawn.slices.map(({ k }) => k);
    const gaps = drawn.slice(1).flatMap((upper, n) => (upper - drawn[n] > 1 ? [/** @type {const} */ ([drawn[n], upper])] : []));
    this.#keep(gaps.flatMap(([lower, upper]) => Array.from({ length: upper - lower - 1 }, (_, n) => lower + 1 + n)));
    for (const [lower, upper] of gaps) this.#fill(lower, upper);
    if (!gaps.length) this.#before.pop();
    return gaps.length > 0;
  }

  /** @param {number} lower @param {number} upper */
  #fill(lower, upper) {
    const ends = [lower, upper].map((k) => this.#masks.get(k) ?? this.#empty());
    const shape = between(ends, this.#columns, this.#spacingMm);
    const heightMm = this.#heightsMm[upper] - this.#heightsMm[lower];
    for (let k = lower + 1; k < upper; k += 1) this.set(k, shape((this.#heightsMm[k] - this.#heightsMm[lower]) / heightMm));
  }

  /** Takes the last stroke back; tells its slice, null where there is none. */
  undo() {
    const last = this.#before.pop();
    if (!last) return null;
    for (const one of last) this.set(...one);
    return last[0][0];
  }

  /** As it is sent: runs of pixels, row after row. @returns {DrawnExtent} */
  get drawn() {
    const slices = [...this.#masks].sort(([one], [other]) => one - other).map(([k, mask]) => ({ k, runs: runsOf(mask) }));
    return { slices: slices.filter(({ runs }) => runs.length) };
  }

  #empty() { return new Uint8Array(this.#rows * this.#columns); }

  /** @param {Uint8Array} mask @param {Pixel} centre @param {number} radiusMm @param {0 | 1} within */
  #disc(mask, [row, column], radiusMm, within) {
    const [rowMm, columnMm] = this.#spacingMm;
    for (let r = Math.max(0, Math.ceil(row - radiusMm / rowMm)); r <= Math.min(this.#rows - 1, row + radiusMm / rowMm); r += 1) {
      const half = Math.sqrt(Math.max(0, radiusMm ** 2 - ((r - row) * rowMm) ** 2)) / columnMm;
      const first = Math.max(0, Math.ceil(column - half));
      const last = Math.min(this.#columns - 1, Math.floor(column + half));
      if (last >= first) mask.fill(within, r * this.#columns + first, r * this.#columns + last + 1);
    }
  }
}

/** Where a closed line crosses the middle of a row of pixels, from left to right. @param {Pixel[]} line @param {number} row */
function crossings(line, row) {
  const found = line.flatMap(([row1, column1], n) => {
    const [row2, column2] = line[(n + 1) % line.length];
    const crosses = (row1 <= row && row < row2) || (row2 <= row && row < row1);
    return crosses ? [column1 + ((row - row1) / (row2 - row1)) * (column2 - column1)] : [];
  });
  return found.sort((one, other) => one - other);
}

/** First pixel and length of each run. @param {Uint8Array} mask */
function runsOf(mask) {
  const runs = [];
  for (let first = mask.indexOf(1); first >= 0;) {
    const end = mask.indexOf(0, first);
    runs.push(first, (end < 0 ? mask.length : end) - first);
    first = end < 0 ? -1 : mask.indexOf(1, end);
  }
  return runs;
}

/** The extent of one of a result's findings, as it was outlined. @param {string} path @param {SliceStack} stack @param {number} finding */
export async function outlinedExtent(path, stack, finding) {
  const extent = new Extent(stack);
  await Promise.all(stack.outlined.map(async (k) => {
    const answer = await fetch(`${path}/slices/${k}/findings`);
    if (answer.status === 404) return; // specks alone, which are no finding
    if (!answer.ok || !answer.body) throw new Error(`${answer.status} for the findings of slice ${k}`);
    const numbers = new Uint8Array(await new Response(answer.body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
    const mask = numbers.map((number) => (number === finding + 1 ? 1 : 0));
    if (mask.includes(1)) extent.set(k, mask);
  }));
  return extent;
}
