// Why: what both networks hold for probable, in colours over the slices, with its own scale. Off until somebody asks.

import { button, element } from "./dom.js";
import { t } from "./words.js";

/** @typedef {[number, number, number]} Rgb */
/** @typedef {"probability" | "disagreement"} Mode */

/** @type {Rgb[]} */
const HOT = [[87, 16, 110], [188, 55, 84], [249, 142, 9], [246, 215, 70]]; // of matplotlib's "inferno", whose lightness rises evenly
/** @type {[Rgb, Rgb]} */
const APART = [[64, 160, 255], [255, 140, 26]]; // blue and orange, which the colour-blind tell apart
const FAINT = 0.3; // less than this is drawn the fainter the less it is
const OPACITY = 0.6;

/** @type {Record<Mode, { words: string, key: string, from: number, ends: [string, string], says: string }>} */
const MODES = {
  probability: {
    words: t("Probability"), key: "h", from: 0, ends: ["0", "1"],
    says: t("How likely blood is, by both networks together. Uncoloured does not mean free of blood, and coloured does not prove it."),
  },
  disagreement: {
    words: t("Disagreement"), key: "d", from: -1, ends: [t("slice network alone"), t("volume network alone")],
    says: t("Where one network sees blood and the other does not. Uncoloured means that they agree; both may be wrong."),
  },
};

export class Why {
  #path; #stack; #ready;
  /** @type {Mode | null} */ #mode = null;
  #opacity = OPACITY;
  /** @type {Map<number, Uint8Array | null>} */ #maps = new Map(); // null while it is fetched
  #stop = new AbortController();
  #picture = new OffscreenCanvas(1, 1);
  #scale = element("canvas", "");
  #ends = [element("span", ""), element("span", "")];
  #says = element("p", "");

  /**
   * `ready()` is called when what is drawn over the slices has changed.
   * @param {string} path
   * @param {SliceStack} stack
   * @param {() => void} ready
   */
  constructor(path, stack, ready) {
    this.#path = path;
    this.#stack = stack;
    this.#ready = ready;
    this.buttons = stack.mapped.length ? // none of what was kept before they were
      Object.entries(MODES).map(([mode, { words }]) => button(words, mode, () => this.#toggle(/** @type {Mode} */ (mode)))) : [];
    this.legend = this.#legend();
    this.#tell();
  }

  release() {
    this.#stop.abort();
    this.#maps.clear();
  }

  /** Obeys a key; tells whether it did. @param {string} key */
  press(key) {
    const mode = /** @type {Mode[]} */ (this.buttons.map(({ className }) => className)).find((one) => MODES[one].key === key);
    if (mode) this.#toggle(mode);
    return mode !== undefined;
  }

  /** What is drawn over a slice, null where nothing is. @param {number} k */
  over(k) {
    if (!this.#mode) return null;
    const first = this.#stack.mapped[k];
    this.#says.textContent = first === null ? t("The networks did not look at this slice.") : MODES[this.#mode].says;
    const map = first === null ? null : this.#maps.get(first);
    if (first !== null && map === undefined) this.#fetch(first);
    return map ? this.#painted(map, this.#mode) : null;
  }

  #legend() {
    const legend = element("div", "", "legend");
    const opacity = element("input", "");
    Object.assign(opacity, { type: "range", min: 0.1, max: 1, step: 0.05, value: this.#opacity });
    opacity.addEventListener("input", () => {
      this.#opacity = Number(opacity.value);
      this.#ready();
    });
    const label = element("label", "");
    label.append(element("span", t("Opacity")), opacity);
    Object.assign(this.#scale, { width: 256, height: 1, ariaHidden: "true" });
    legend.append(this.#ends[0], this.#scale, this.#ends[1], label, this.#says);
    return legend;
  }

  /** @param {Mode} mode */
  #toggle(mode) {
    this.#mode = this.#mode === mode ? null : mode;
    this.#tell();
    this.#ready();
  }

  #tell() {
    for (const one of this.buttons) one.ariaPressed = String(one.className === this.#mode);
    this.legend.hidden = this.#mode === null;
    if (!this.#mode) return;
    const { from, ends } = MODES[this.#mode];
    const step = (1 - from) / 255;
    paint(this.#scale, new Array(256).fill(0).map((_, n) => coloured(this.#mode, from + n * step, 1)));
    this.#ends.forEach((end, n) => { end.textContent = ends[n]; });
  }

  /** @param {number} first */
  async #fetch(first) {
    this.#maps.set(first, null);
    const { signal } = this.#stop;
    const answer = await fetch(`${this.#path}/slices/${first}/probabilities`, { signal }).catch(() => null);
    const stream = answer?.ok ? answer.body?.pipeThrough(new DecompressionStream("deflate")) : null;
    const map = stream ? new Uint8Array(await new Response(stream).arrayBuffer().catch(() => new ArrayBuffer(0))) : null;
    if (signal.aborted) return;
    if (map?.length) this.#maps.set(first, map);
    else this.#maps.delete(first); // it is asked for again with the next slice
    if (map?.length) this.#ready();
  }

  /** @param {Uint8Array} map @param {Mode} mode */
  #painted(map, mode) {
    const n = map.length / 2;
    const pixels = new Uint32Array(n);
    const value = valueOf[mode];
    for (let at = 0; at < n; at += 1) {
      if (map[at] || map[n + at]) pixels[at] = coloured(mode, value(map[at] / 255, map[n + at] / 255), this.#opacity);
    }
    const side = Math.sqrt(n);
    Object.assign(this.#picture, { width: side, height: side });
    paint(this.#picture, pixels);
    return this.#picture;
  }
}

/** What is shown of both networks' probabilities. @type {Record<Mode, (slice: number, volume: number) => number>} */
export const valueOf = {
  probability: (slice, volume) => Math.sqrt(slice * volume), // of which the outline is made
  disagreement: (slice, volume) => volume - slice,
};

/** A value's colour as a canvas has it. @param {Mode | null} mode @param {number} value @param {number} opacity */
export function coloured(mode, value, opacity) {
  const size = Math.abs(value);
  const alpha = Math.round(255 * opacity * Math.min(1, size / FAINT));
  const [red, green, blue] = mode === "disagreement" ? APART[value < 0 ? 0 : 1] : between(HOT, size);
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** @param {Rgb[]} colours @param {number} share @returns {number[]} */
function between(colours, share) {
  const at = share * (colours.length - 1);
  const below = Math.min(Math.floor(at), colours.length - 2);
  return colours[below].map((one, n) => Math.round(one + (colours[below + 1][n] - one) * (at - below)));
}

/** @param {HTMLCanvasElement | OffscreenCanvas} canvas @param {ArrayLike<number>} pixels */
function paint(canvas, pixels) {
  const context = /** @type {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null} */ (canvas.getContext("2d"));
  if (!context) return;
  const image = context.createImageData(canvas.width, canvas.height);
  new Uint32Array(image.data.buffer).set(pixels);
  context.putImageData(image, 0, 0);
}
