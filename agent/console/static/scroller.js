// All slices of one result, to scroll through: by wheel, finger, keys and the bar beneath.

import { button, element } from "./dom.js";
import { Slices } from "./slices.js";
import { number, t } from "./words.js";

const WINDOWS = { brain: t("Brain"), subdural: t("Subdural"), bone: t("Bone") };
const PAGE = 10; // slices that Page Up and Page Down move by
const WHEEL_PX = 50; // of a touchpad make a slice; a notch of a wheel is one, whatever it says
const LEAST_DRAG_PX = 3; // that a finger moves for a slice …
const MOST_DRAG_PX = 20; // … and most

/** @type {Record<string, (k: number, last: number) => number>} */
const KEYS = { // where each goes from slice k
  ArrowUp: (k) => k + 1, ArrowRight: (k) => k + 1, PageUp: (k) => k + PAGE, End: (_k, last) => last,
  ArrowDown: (k) => k - 1, ArrowLeft: (k) => k - 1, PageDown: (k) => k - PAGE, Home: () => 0,
};

export class Scroller {
  #stack; #slices;
  #wanted = 0;
  #shown = -1;
  #frame = 0;
  #outlined = true;
  #stage = element("div", "", "stage");
  #canvas = element("canvas", "");
  #where = element("p", "", "where");
  #range = element("input", "");
  #says = element("p", "", "says");
  #outline = button(t("Outline"), "outline", () => this.#toggleOutline());
  #windows = Object.entries(WINDOWS).map(([name, words]) => button(words, name, () => this.#choose(name)));

  /**
   * `close()` is called by its button; `lost()` when the slices have been forgotten meanwhile.
   * @param {string} path
   * @param {SliceStack} stack
   * @param {() => void} close
   * @param {() => void} lost
   */
  constructor(path, stack, close, lost) {
    this.#stack = stack;
    this.#slices = new Slices(path, stack, () => this.#drawSoon(), (status) => (status === 404 ? lost() : this.#sayFailed()));
    this.elements = [this.#stageOf(stack), this.#track(), this.#controls(close), this.#says];
  }

  get held() { return this.#slices.held; }

  get isShown() { return this.#stage.isConnected; }

  release() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#slices.release();
    this.#canvas.width = 0;
  }

  focus() { this.#stage.focus({ preventScroll: true }); }

  /** @param {number} k */
  goTo(k) {
    this.#wanted = Math.max(0, Math.min(this.#stack.n - 1, k));
    this.#range.value = String(this.#wanted);
    this.#slices.moveTo(this.#wanted);
    this.#drawSoon();
  }

  /** Obeys a key; tells whether it did. @param {string} key */
  press(key) {
    const preset = Object.keys(WINDOWS)[Number(key) - 1];
    if (Object.hasOwn(KEYS, key)) this.goTo(KEYS[key](this.#wanted, this.#stack.n - 1));
    else if (preset) this.#choose(preset);
    else if (key.toLowerCase() === "o") this.#toggleOutline();
    else return false;
    return true;
  }

  // What it is made of.

  /** @param {SliceStack} stack */
  #stageOf({ rows, columns, spacing_mm: [row_mm, column_mm], n }) {
    Object.assign(this.#canvas, { width: columns, height: rows });
    this.#canvas.style.aspectRatio = String((columns * column_mm) / (rows * row_mm));
    Object.assign(this.#stage, {
      role: "slider", tabIndex: 0, ariaLabel: t("Slices"), ariaOrientation: "vertical", ariaValueMin: 1, ariaValueMax: n,
    });
    this.#stage.append(this.#canvas, element("span", t("R"), "side right"), element("span", t("L"), "side left"), this.#where);
    this.#wheel(this.#stage);
    this.#drag(this.#stage);
    return this.#stage;
  }

  #track() {
    const track = element("div", "", "track");
    const last = Math.max(1, this.#stack.n - 1);
    Object.assign(this.#range, { type: "range", min: 0, max: this.#stack.n - 1, tabIndex: -1, ariaHidden: "true" });
    this.#range.addEventListener("input", () => this.goTo(Number(this.#range.value)));
    const marks = element("div", "", "marks");
    for (const [begin, end] of runs(this.#stack.outlined)) {
      const mark = element("i", "");
      mark.style.left = `${(100 * (begin - 0.5)) / last}%`;
      mark.style.width = `${(100 * (end - begin + 1)) / last}%`;
      marks.append(mark);
    }
    track.append(marks, this.#range);
    this.#wheel(track);
    return track;
  }

  /** @param {() => void} close */
  #controls(close) {
    const controls = element("div", "", "controls");
    for (const choice of this.#windows) choice.ariaPressed = String(choice.className === "brain");
    this.#outline.ariaPressed = "true";
    this.#says.role = "status";
    controls.append(...this.#windows, this.#outline, button(t("Close"), "close", close));
    return controls;
  }

  // What is drawn.

  /** @param {string} name */
  #choose(name) {
    for (const choice of this.#windows) choice.ariaPressed = String(choice.className === name);
    this.#shown = -1;
    this.#slices.show(name);
    this.#stage.classList.add("waiting");
  }

  #toggleOutline() {
    this.#outlined = !this.#outlined;
    this.#outline.ariaPressed = String(this.#outlined);
    this.#shown = -1;
    this.#drawSoon();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
  }

  #draw() { // what the words name is what is shown, also while the wanted slice is still coming
    const found = this.#slices.nearest();
    if (!found) return;
    const [k, picture, outline] = found;
    this.#stage.classList.toggle("waiting", k !== this.#wanted);
    if (k === this.#shown) return;
    this.#shown = k;
    const context = this.#canvas.getContext("2d", { alpha: false });
    context?.drawImage(picture, 0, 0);
    if (this.#outlined && outline) context?.drawImage(outline, 0, 0);
    const name = t("slice {k} of {n}", { k: k + 1, n: this.#stack.n });
    this.#where.textContent = `${name} · ${number(this.#stack.heights_mm[k], 1)} mm`;
    Object.assign(this.#stage, { ariaValueNow: k + 1, ariaValueText: name });
    this.#says.textContent = "";
  }

  #sayFailed() { this.#says.textContent = t("A slice cannot be fetched. Trying again …"); }

  // Wheel and finger.

  /** @param {HTMLElement} over */
  #wheel(over) {
    let moved = 0;
    over.addEventListener("wheel", (event) => {
      event.preventDefault();
      const px = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * WHEEL_PX;
      moved -= Math.max(-1, Math.min(1, px / WHEEL_PX));
      const steps = Math.trunc(moved);
      moved -= steps;
      if (steps) this.goTo(this.#wanted + steps);
    }, { passive: false });
  }

  /** @param {HTMLElement} stage */
  #drag(stage) {
    /** @type {{ y: number, k: number } | null} */
    let from = null;
    stage.addEventListener("pointerdown", (event) => {
      from = { y: event.clientY, k: this.#wanted };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      const px = Math.max(LEAST_DRAG_PX, Math.min(MOST_DRAG_PX, stage.clientHeight / this.#stack.n));
      this.goTo(from.k - Math.round((event.clientY - from.y) / px));
    });
    stage.addEventListener("pointerup", () => { from = null; });
    stage.addEventListener("pointercancel", () => { from = null; });
  }
}

/** First and last of those that follow one another. @param {number[]} numbers */
function runs(numbers) {
  /** @type {[number, number][]} */
  const found = [];
  for (const k of numbers) {
    const latest = found.at(-1);
    if (latest?.[1] === k - 1) latest[1] = k;
    else found.push([k, k]);
  }
  return found;
}
