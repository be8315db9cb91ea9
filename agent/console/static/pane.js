// One slice on the screen: windowed here from its HU, zoomed, moved and measured in millimetres.

import { element } from "./dom.js";
import { number, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const CLOSEST = 12; // times as large as the slice is when it opens
const BARS_MM = [100, 50, 20, 10, 5, 2, 1];
const LONGEST_BAR = 0.25; // of the pane's width

/** @typedef {{ level: number, width: number }} HuWindow */
/** @typedef {{ x: number, y: number }} Point on the screen, in pixels of the browser */

export class Pane {
  #rows; #columns; #rowMm; #columnMm; #fieldMm;
  #canvas = element("canvas", "");
  #over = document.createElementNS(SVG, "svg");
  #bar = element("span", "", "bar");
  /** @type {ImageData | null} */ #image = null;
  #greys = new Uint32Array(2 ** 16); // by HU, of which negative ones come last
  #tints = new Uint32Array(2 ** 16); // the same within what is drawn
  /** @type {Int16Array | null} */ #hu = null;
  #zoom = 1;
  #moved = { x: 0, y: 0 };
  /** @type {{ at: import("./extent.js").Pixel, radiusMm: number } | null} */ #brush = null;
  /** @type {import("./extent.js").Pixel[]} */ #loop = []; // what a lasso has drawn so far
  /** @type {[number, number][]} */ #ruler = []; // both ends, as fractions of the slice: across, down

  /** @param {SliceStack} stack @param {HTMLElement} stage what it is shown in */
  constructor({ rows, columns, spacing_mm: [rowMm, columnMm], field_mm: fieldMm }, stage) {
    this.#fieldMm = fieldMm ?? 0;
    this.#rows = rows;
    this.#columns = columns;
    this.#rowMm = rowMm;
    this.#columnMm = columnMm;
    this.stage = stage;
    Object.assign(this.#canvas, { width: columns, height: rows });
    this.#canvas.style.aspectRatio = String((columns * columnMm) / (rows * rowMm));
    this.#over.setAttribute("class", "over");
    this.#over.setAttribute("aria-hidden", "true");
    stage.append(this.#canvas, this.#over, this.#bar);
    this.#resized = new ResizeObserver(() => this.#place());
    this.#resized.observe(stage);
  }

  #resized;

  release() {
    this.#resized.disconnect();
    this.#canvas.width = 0;
    this.#hu = null;
    this.#image = null;
  }

  /** @param {HuWindow} window */
  setWindow({ level, width }) {
    for (let hu = -(2 ** 15); hu < 2 ** 15; hu += 1) {
      const grey = Math.round(Math.max(0, Math.min(1, (hu - level) / width + 0.5)) * 255);
      this.#greys[hu & 0xffff] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
      this.#tints[hu & 0xffff] = (255 << 24) | (Math.min(255, (grey >> 1) + 127) << 16) | (Math.min(255, (grey >> 1) + 80) << 8) | (grey >> 1);
    }
  }

  /**
   * @param {Int16Array} hu
   * @param {ImageBitmap | null} outline
   * @param {Uint8Array | null} tinted 1 where it is
   * @param {OffscreenCanvas | null} map of a square of `field_mm` about the slice's centre
   */
  draw(hu, outline, tinted, map) {
    const context = this.#canvas.getContext("2d", { alpha: false });
    if (!context) return;
    this.#hu = hu;
    this.#image ??= context.createImageData(this.#columns, this.#rows);
    const pixels = new Uint32Array(this.#image.data.buffer);
    const greys = this.#greys;
    for (let n = 0; n < hu.length; n += 1) pixels[n] = greys[hu[n] & 0xffff];
    if (tinted) for (let n = tinted.indexOf(1); n >= 0; n = tinted.indexOf(1, n + 1)) pixels[n] = this.#tints[hu[n] & 0xffff];
    context.putImageData(this.#image, 0, 0);
    if (map) this.#drawAbout(context, map);
    if (outline) context.drawImage(outline, 0, 0);
  }

  /** Draws a square of `field_mm` about the slice's centre. @param {CanvasRenderingContext2D} context @param {OffscreenCanvas} map */
  #drawAbout(context, map) {
    const [width, height] = [this.#fieldMm / this.#columnMm, this.#fieldMm / this.#rowMm];
    context.drawImage(map, (this.#columns - width) / 2, (this.#rows - height) / 2, width, height);
  }

  /** The voxel under a point of the screen, [row, column]; null beside the slice. @param {Point} point @returns {[number, number] | null} */
  voxelAt(point) {
    const [across, down] = this.#fractionAt(point);
    const row = Math.floor(down * this.#rows);
    const column = Math.floor(across * this.#columns);
    return row >= 0 && row < this.#rows && column >= 0 && column < this.#columns ? [row, column] : null;
  }

  /** What is under a point, null beside the slice. @param {Point} point */
  huAt(point) {
    const voxel = this.voxelAt(point);
    return voxel && this.#hu ? this.#hu[voxel[0] * this.#columns + voxel[1]] : null;
  }

  /** @param {number} factor @param {Point} point what stays where it is */
  zoomBy(factor, point) {
    const before = this.#zoom;
    this.#zoom = Math.max(1, Math.min(CLOSEST, before * factor));
    const box = this.stage.getBoundingClientRect();
    const from = { x: point.x - box.x - box.width / 2, y: point.y - box.y - box.height / 2 };
    const grown = this.#zoom / before;
    this.#moved = { x: from.x - (from.x - this.#moved.x) * grown, y: from.y - (from.y - this.#moved.y) * grown };
    this.#place();
  }

  /** @param {number} dx @param {number} dy */
  moveBy(dx, dy) {
    this.#moved = { x: this.#moved.x + dx, y: this.#moved.y + dy };
    this.#place();
  }

  fit() {
    this.#zoom = 1;
    this.#moved = { x: 0, y: 0 };
    this.#place();
  }

  centre() {
    const { x, y, width, height } = this.stage.getBoundingClientRect();
    return { x: x + width / 2, y: y + height / 2 };
  }

  /** @param {Point} from @param {Point} to */
  measure(from, to) {
    this.#ruler = [this.#fractionAt(from), this.#fractionAt(to)];
    this.#drawOver();
  }

  forgetRuler() {
    this.#ruler = [];
    this.#drawOver();
  }

  /** Shows how large the brush is, null where there is none. @param {{ at: import("./extent.js").Pixel, radiusMm: number } | null} brush */
  showBrush(brush) {
    this.#brush = brush;
    this.#drawOver();
  }

  /** Shows what a lasso has drawn so far. @param {import("./extent.js").Pixel[]} loop */
  showLoop(loop) {
    this.#loop = loop;
    this.#drawOver();
  }

  /** @param {Point} point @returns {[number, number]} */
  #fractionAt({ x, y }) {
    const box = this.#canvas.getBoundingClientRect();
    return [(x - box.x) / box.width, (y - box.y) / box.height];
  }

  #place() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    const most = { x: Math.max(0, width - width / this.#zoom / 2), y: Math.max(0, height - height / this.#zoom / 2) };
    const within = (/** @type {number} */ value, /** @type {number} */ limit) => Math.max(-limit, Math.min(limit, value));
    this.#moved = { x: within(this.#moved.x, most.x), y: within(this.#moved.y, most.y) };
    this.#canvas.style.transform = `translate(${this.#moved.x}px, ${this.#moved.y}px) scale(${this.#zoom})`;
    this.#drawBar();
    this.#drawOver();
  }

  #drawBar() {
    const perMm = this.#canvas.getBoundingClientRect().width / (this.#columns * this.#columnMm);
    const room = this.stage.clientWidth * LONGEST_BAR;
    const mm = BARS_MM.find((one) => one * perMm <= room) ?? 1;
    this.#bar.style.width = `${mm * perMm}px`;
    this.#bar.textContent = t("{n} mm", { n: mm });
  }

  #drawOver() {
    this.#over.replaceChildren();
    this.#drawBrush();
    this.#drawLoop();
    this.#drawRuler();
  }

  #drawLoop() {
    if (this.#loop.length < 2) return;
    const points = this.#loop.map((pixel) => this.#placeOf(pixel)).map(({ x, y }) => `${x},${y}`).join(" ");
    const line = drawn("polyline", {});
    line.setAttribute("points", points);
    line.setAttribute("class", "brush");
    this.#over.append(line);
  }

  /** Where a pixel's middle is on the stage. @param {import("./extent.js").Pixel} pixel */
  #placeOf([row, column]) {
    const box = this.stage.getBoundingClientRect();
    const slice = this.#canvas.getBoundingClientRect();
    const [across, down] = [(column + 0.5) / this.#columns, (row + 0.5) / this.#rows];
    return { x: slice.x - box.x + across * slice.width, y: slice.y - box.y + down * slice.height };
  }

  #drawBrush() {
    if (!this.#brush) return;
    const { at, radiusMm } = this.#brush;
    const perMm = this.#canvas.getBoundingClientRect().width / (this.#columns * this.#columnMm);
    const { x: cx, y: cy } = this.#placeOf(at);
    const circle = drawn("circle", { cx, cy, r: radiusMm * perMm });
    circle.setAttribute("class", "brush");
    this.#over.append(circle);
  }

  #drawRuler() {
    if (this.#ruler.length < 2) return;
    const box = this.stage.getBoundingClientRect();
    const slice = this.#canvas.getBoundingClientRect();
    const ends = this.#ruler.map(([across, down]) => ({ x: slice.x - box.x + across * slice.width, y: slice.y - box.y + down * slice.height }));
    const [[a, b], [c, d]] = this.#ruler;
    const mm = Math.hypot((c - a) * this.#columns * this.#columnMm, (d - b) * this.#rows * this.#rowMm);
    const [from, to] = ends;
    const line = drawn("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y });
    const label = drawn("text", { x: to.x + 8, y: to.y - 8 });
    label.textContent = t("{n} mm", { n: number(mm, 1) });
    this.#over.append(line, ...ends.map(({ x, y }) => drawn("circle", { cx: x, cy: y, r: 3 })), label);
  }
}

/** @param {string} name @param {Record<string, number>} attributes */
function drawn(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}
