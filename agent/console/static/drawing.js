// A brush, an eraser and a lasso on the slices, with their buttons and keys: what is drawn is an Extent.

import { button, element } from "./dom.js";
import { number, t } from "./words.js";

const SMALLEST_MM = 0.5;
const LARGEST_MM = 20; // radius
const STEP = 1.4; // a size larger or smaller

/** @typedef {import("./extent.js").Extent} Extent */
/** @typedef {import("./extent.js").Pixel} Pixel */
/** @typedef {"brush" | "eraser" | "lasso"} Drawer */

export class Drawing {
  #told = element("output", "");
  #changed;
  #use;
  radiusMm = 4;
  /** @type {Pixel} */ at; // where the keyboard's brush is
  /** @type {Pixel[]} */ loop = []; // what the lasso has drawn so far

  /**
   * @param {Extent} extent
   * @param {Pixel} at
   * @param {{ use: (tool: Drawer) => void, changed: (k: number | null) => void }} calls `changed(k)`: another slice is to be shown, or null
   */
  constructor(extent, at, { use, changed }) {
    this.extent = extent;
    this.at = at;
    this.#use = use;
    this.#changed = changed;
    this.tools = [button(t("Brush"), "brush", () => use("brush")), button(t("Eraser"), "eraser", () => use("eraser")), button(t("Lasso"), "lasso", () => use("lasso"))];
    this.toolbar = element("div", "", "controls drawing");
    this.toolbar.role = "group";
    this.toolbar.ariaLabel = t("Draw the extent");
    this.toolbar.append(...this.tools, button(t("Smaller"), "smaller", () => this.#resize(1 / STEP)),
      button(t("Larger"), "larger", () => this.#resize(STEP)), button(t("Fill between"), "between", () => this.#fillBetween()), button(t("Undo"), "undo", () => this.#undo()), this.#told);
    this.#tell();
  }

  /** Obeys a key; tells whether it did. @param {string} key @param {boolean} shift @param {number} k the slice that is shown @param {Drawer | null} tool */
  press(key, shift, k, tool) {
    const step = /** @type {Record<string, Pixel>} */ ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] })[key];
    const order = /** @type {Record<string, () => void>} */ ({
      b: () => this.#use("brush"), e: () => this.#use("eraser"), l: () => this.#use("lasso"), f: () => this.#fillBetween(), z: () => this.#undo(),
      "[": () => this.#resize(1 / STEP), "]": () => this.#resize(STEP),
    })[key.toLowerCase()];
    if (shift && step) this.at = [this.at[0] + step[0] * 2, this.at[1] + step[1] * 2];
    else if (key === " " && tool && tool !== "lasso") this.stroke(k, this.at, this.at, tool, true);
    else if (order) order();
    else return false;
    this.#changed(null);
    return true;
  }

  /** @param {number} k @param {Pixel} from @param {Pixel} to @param {Drawer} tool @param {boolean} begins */
  stroke(k, from, to, tool, begins) {
    if (tool === "lasso") this.loop = begins ? [from] : [...this.loop, to];
    else {
      if (begins) this.extent.begin(k);
      this.extent.paint(k, from, to, this.radiusMm, tool === "brush" ? 1 : 0);
    }
    this.at = to;
    this.#tell();
    this.#changed(null);
  }

  /** Closes what the lasso has drawn. @param {number} k */
  end(k) {
    if (this.loop.length > 2) this.extent.enclose(k, this.loop);
    this.loop = [];
    this.#tell();
    this.#changed(null);
  }

  #fillBetween() {
    this.extent.fillBetween();
    this.#tell();
    this.#changed(null);
  }

  #undo() {
    const k = this.extent.undo();
    this.#tell();
    if (k !== null) this.#changed(k);
  }

  /** @param {number} factor */
  #resize(factor) {
    this.radiusMm = Math.max(SMALLEST_MM, Math.min(LARGEST_MM, this.radiusMm * factor));
    this.#tell();
    this.#changed(null);
  }

  #tell() {
    const words = [t("{volume} mL", { volume: number(this.extent.volumeMl, 1) }), t("brush {mm} mm", { mm: number(2 * this.radiusMm, 1) })];
    this.#told.textContent = words.join(" · ");
  }
}
