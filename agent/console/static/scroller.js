// All slices of one result: scrolled, windowed, zoomed and measured by wheel, finger, mouse and keys.

import { button, element } from "./dom.js";
import { Drawing } from "./drawing.js";
import { drag, wheel } from "./gestures.js";
import { Pane } from "./pane.js";
import { Slices } from "./slices.js";
import { Why } from "./why.js";
import { EITHER, number, t } from "./words.js";

/** @type {Record<string, { words: string, level: number, width: number }>} */
const WINDOWS = { // brain as on the key slice; subdural within what Radiopaedia, "Windowing (CT)", gives; bone as in teaching
  brain: { words: t("Brain"), level: 40, width: 80 },
  subdural: { words: t("Subdural"), level: 80, width: 200 },
  bone: { words: t("Bone"), level: 500, width: 2000 },
};
const EXTRA_AXIAL = ["subdural", "epidural", EITHER]; // bleeds beside bone, which a brain window makes as white as they are
const LEAST_WIDTH_HU = 2;
const PAGE = 10; // slices that Page Up and Page Down move by
const ZOOM_STEP = 1.25;
const CINE_MS = 100; // a slice

/** @type {Record<string, (k: number, last: number) => number>} */
const KEYS = { // where each goes from slice k
  ArrowUp: (k) => k + 1, ArrowRight: (k) => k + 1, PageUp: (k) => k + PAGE, End: (_k, last) => last,
  ArrowDown: (k) => k - 1, ArrowLeft: (k) => k - 1, PageDown: (k) => k - PAGE, Home: () => 0,
};

const HINTS = [
  ["↑ ↓", t("next and previous slice")], ["Page ↑ ↓", t("ten slices")], ["Home End", t("lowest and highest slice")],
  ["1 2 3", t("brain, subdural, bone window")], ["O", t("outline on and off")],
  ["+ −", t("zoom; also the wheel with Ctrl")], ["0", t("whole slice")],
  ["S W M R", t("the left button scrolls, windows, moves, measures")], ["P", t("play and stop")],
  ["H D", t("the networks' probability, and where they disagree")], [t("right button"), t("window")], [t("Shift"), t("move")],
  ["B E L", t("brush, eraser, lasso")], ["F", t("fill the slices between those drawn on")], ["[ ]", t("smaller and larger")], ["Z", t("undo")], [t("Shift + ↑ ↓ ← →, space"), t("move the brush, and draw")],
];

export class Scroller {
  #stack; #slices; #pane; #moved; #why;
  #wanted = 0;
  #shown = -1; // slice
  #stale = false; // whether it is to be drawn again
  #frame = 0;
  #cine = 0;
  #outlined = true;
  /** @type {import("./gestures.js").Tool} */ #tool = "scroll";
  #window = { level: 0, width: 1 };
  /** @type {((voxel: [number, number, number]) => void) | null} */ #picked = null;
  /** @type {import("./extent.js").Extent | null} */ #extent = null; // drawn over the slices
  /** @type {Drawing | null} */ #drawing = null;
  #stage = element("div", "", "stage");
  #where = element("p", "", "where");
  #under = element("p", "", "under");
  #range = element("input", "");
  #says = element("p", "", "says");
  #hints = element("dl", "", "hints");
  #outline = button(t("Outline"), "outline", () => this.#toggleOutline());
  #play = button(t("Play"), "play", () => this.#togglePlay());
  #windows = Object.entries(WINDOWS).map(([name, { words }]) => button(words, name, () => this.#choose(name)));
  #tools = Object.entries({ scroll: t("Scroll"), window: t("Window"), move: t("Move"), ruler: t("Ruler") }).map(
    ([name, words]) => button(words, name, () => this.#use(/** @type {import("./gestures.js").Tool} */ (name))));

  /**
   * `close()` is called by its button; `lost()` when the slices have been forgotten meanwhile; `moved()` as somebody scrolls.
   * @param {string} path
   * @param {SliceStack} stack
   * @param {string[]} kinds of its findings, the first one first
   * @param {{ close: () => void, lost: () => void, moved: () => void }} calls
   */
  constructor(path, stack, kinds, { close, lost, moved }) {
    this.#stack = stack;
    this.#moved = moved;
    this.#pane = new Pane(stack, this.#stage);
    this.#slices = new Slices(path, stack, () => this.#drawSoon(), (status) => (status === 404 ? lost() : this.#sayFailed()));
    this.#why = new Why(path, stack, () => this.#redraw());
    this.elements = [this.#stageOf(stack), this.#track(), this.#why.legend, this.#controls(close), this.#says];
    this.#choose(EXTRA_AXIAL.includes(kinds[0]) ? "subdural" : "brain");
    this.#use("scroll");
  }

  get held() { return this.#slices.held; }

  get stack() { return this.#stack; }

  get heightMm() { return this.#stack.heights_mm[this.#wanted]; }

  get isShown() { return this.#stage.isConnected; }

  release() {
    cancelAnimationFrame(this.#frame);
    clearInterval(this.#cine);
    this.#frame = 0;
    this.#slices.release();
    this.#why.release();
    this.#pane.release();
  }

  focus() { this.#stage.focus({ preventScroll: true }); }

  /** @param {number} k */
  goTo(k) {
    this.#go(k);
    this.#moved();
  }

  /** Goes to the slice nearest to a height, because another series was scrolled there. @param {number} mm */
  follow(mm) {
    const away = this.#stack.heights_mm.map((height) => Math.abs(height - mm));
    this.#go(away.indexOf(Math.min(...away)));
  }

  /** @param {number} k */
  #go(k) {
    this.#wanted = Math.max(0, Math.min(this.#stack.n - 1, k));
    this.#range.value = String(this.#wanted);
    this.#slices.moveTo(this.#wanted);
    this.#drawSoon();
  }

  /** Gives the voxel (slice, row, column) that is clicked next. @param {(voxel: [number, number, number]) => void} picked */
  pick(picked) {
    this.#picked = picked;
    this.#stage.classList.add("picking");
  }

  /** Shows an extent on the slices, or none any more. @param {import("./extent.js").Extent | null} extent */
  overlay(extent) {
    this.#drawing?.toolbar.remove();
    if (this.#drawing) this.#use("scroll");
    this.#drawing = null;
    this.#extent = extent;
    this.#pane.showBrush(null);
    this.#redraw();
  }

  /** Lets an extent be drawn. @param {import("./extent.js").Extent} extent */
  draw(extent) {
    this.overlay(extent);
    const middle = /** @type {[number, number]} */ ([Math.floor(this.#stack.rows / 2), Math.floor(this.#stack.columns / 2)]);
    this.#drawing = new Drawing(extent, middle, {
      use: (tool) => this.#use(tool),
      changed: (k) => {
        if (k !== null) this.goTo(k);
        this.#showBrush();
        this.#redraw();
      },
    });
    this.elements[1].after(this.#drawing.toolbar);
    this.#use("brush");
    this.focus();
  }

  /** Obeys a key; tells whether it did. @param {string} key @param {boolean} shift */
  press(key, shift = false) {
    const letter = key.toLowerCase();
    if (this.#drawing?.press(key, shift, this.#shown, this.#shown < 0 ? null : this.#drawer)) return true;
    if (this.#why.press(letter)) return true;
    if (Object.hasOwn(KEYS, key)) this.goTo(KEYS[key](this.#wanted, this.#stack.n - 1));
    else if (Object.hasOwn(this.#orders, letter)) this.#orders[letter]();
    else return false;
    return true;
  }

  /** @type {Record<string, () => void>} */
  #orders = {
    1: () => this.#choose("brain"), 2: () => this.#choose("subdural"), 3: () => this.#choose("bone"),
    s: () => this.#use("scroll"), w: () => this.#use("window"), m: () => this.#use("move"), r: () => this.#use("ruler"),
    o: () => this.#toggleOutline(), p: () => this.#togglePlay(), "?": () => { this.#hints.hidden = !this.#hints.hidden; },
    "+": () => this.#pane.zoomBy(ZOOM_STEP, this.#pane.centre()), "=": () => this.#orders["+"](),
    "-": () => this.#pane.zoomBy(1 / ZOOM_STEP, this.#pane.centre()), 0: () => this.#pane.fit(),
  };

  // What it is made of.

  /** @param {SliceStack} stack */
  #stageOf({ n }) {
    Object.assign(this.#stage, {
      role: "slider", tabIndex: 0, ariaLabel: t("Slices"), ariaOrientation: "vertical", ariaValueMin: 1, ariaValueMax: n,
    });
    this.#hints.hidden = true;
    for (const [keys, words] of HINTS) this.#hints.append(element("dt", keys), element("dd", words));
    this.#stage.append(element("span", t("R"), "side right"), element("span", t("L"), "side left"), this.#where, this.#under, this.#hints);
    wheel(this.#stage, this.#actions);
    drag(this.#stage, () => this.#tool, this.#actions);
    return this.#stage;
  }

  /** @type {import("./gestures.js").Actions} */
  #actions = {
    scroll: (slices) => this.goTo(this.#wanted + slices),
    slices: () => this.#stack.n,
    window: (dx, dy) => {
      const { level, width } = this.#window;
      const step = Math.max(0.5, width / 200);
      this.#setWindow({ level: level + dy * step, width: Math.max(LEAST_WIDTH_HU, width + dx * step) }, "");
    },
    move: (dx, dy) => this.#pane.moveBy(dx, dy),
    zoom: (factor, at) => this.#pane.zoomBy(factor, at),
    measure: (from, to) => this.#pane.measure(from, to),
    paint: (from, to, begins) => this.#paint(from, to, begins),
    painted: () => { if (this.#shown >= 0) this.#drawing?.end(this.#shown); },
    hover: (at) => this.#tellUnder(at),
    click: (at) => this.#pickAt(at),
  };

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
    wheel(track, this.#actions);
    return track;
  }

  /** @param {() => void} close */
  #controls(close) {
    const controls = element("div", "", "controls");
    this.#outline.ariaPressed = "true";
    this.#play.ariaPressed = "false";
    this.#says.role = "status";
    const help = button(t("Keys"), "keys", () => this.press("?"));
    controls.append(...this.#windows, this.#outline, ...this.#why.buttons, ...this.#tools, this.#play, help, button(t("Close"), "close", close));
    return controls;
  }

  // What is drawn.

  /** @param {string} name */
  #choose(name) { this.#setWindow(WINDOWS[name], name); }

  /** @param {{ level: number, width: number }} window @param {string} name "" where it is none of the usual */
  #setWindow({ level, width }, name) {
    this.#window = { level, width };
    this.#pane.setWindow(this.#window);
    for (const choice of this.#windows) choice.ariaPressed = String(choice.className === name);
    this.#redraw();
  }

  /** @param {import("./gestures.js").Tool} tool */
  #use(tool) {
    this.#tool = tool;
    this.#stage.dataset.tool = tool;
    for (const choice of [...this.#tools, ...(this.#drawing?.tools ?? [])]) choice.ariaPressed = String(choice.className === tool);
    if (tool !== "ruler") this.#pane.forgetRuler();
    this.#showBrush();
  }

  get #drawer() { return this.#drawing && (this.#tool === "brush" || this.#tool === "eraser" || this.#tool === "lasso") ? this.#tool : null; }

  #showBrush() {
    const isBrush = this.#drawer === "brush" || this.#drawer === "eraser";
    this.#pane.showBrush(this.#drawing && isBrush ? { at: this.#drawing.at, radiusMm: this.#drawing.radiusMm } : null);
    this.#pane.showLoop(this.#drawing?.loop ?? []);
  }

  /** @param {import("./pane.js").Point} from @param {import("./pane.js").Point} to @param {boolean} begins */
  #paint(from, to, begins) {
    const [begin, end] = [this.#pane.voxelAt(from), this.#pane.voxelAt(to)];
    if (begin && end && this.#drawer && this.#shown >= 0) this.#drawing?.stroke(this.#shown, begin, end, this.#drawer, begins);
  }

  #toggleOutline() {
    this.#outlined = !this.#outlined;
    this.#outline.ariaPressed = String(this.#outlined);
    this.#redraw();
  }

  #togglePlay() {
    const isPlaying = this.#cine !== 0;
    this.#play.ariaPressed = String(!isPlaying);
    clearInterval(this.#cine);
    this.#cine = isPlaying ? 0 : setInterval(() => this.goTo((this.#wanted + 1) % this.#stack.n), CINE_MS);
  }

  #redraw() {
    this.#stale = true;
    this.#drawSoon();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
  }

  #draw() { // what the words name is what is shown, also while the wanted slice is still coming
    const found = this.#slices.nearest();
    if (!found) return;
    const [k, hu, outline] = found;
    this.#stage.classList.toggle("waiting", k !== this.#wanted);
    if (k === this.#shown && !this.#stale) return;
    if (this.#shown >= 0 && k !== this.#shown) this.#pane.forgetRuler();
    this.#shown = k;
    this.#stale = false;
    this.#pane.draw(hu, this.#outlined ? outline : null, this.#extent?.at(k) ?? null, this.#why.over(k));
    const name = t("slice {k} of {n}", { k: k + 1, n: this.#stack.n });
    const { level, width } = this.#window;
    const window = t("level {level}, width {width} HU", { level: number(level), width: number(width) });
    this.#where.textContent = `${name} · ${number(this.#stack.heights_mm[k], 1)} mm · ${window}`;
    Object.assign(this.#stage, { ariaValueNow: k + 1, ariaValueText: name });
    this.#says.textContent = "";
  }

  /** @param {import("./pane.js").Point | null} at */
  #tellUnder(at) {
    const hu = at && this.#pane.huAt(at);
    this.#under.textContent = hu === null ? "" : t("{hu} HU", { hu });
    const voxel = at && this.#drawer ? this.#pane.voxelAt(at) : null;
    if (voxel && this.#drawing) {
      this.#drawing.at = voxel;
      this.#showBrush();
    }
  }

  /** @param {import("./pane.js").Point} at */
  #pickAt(at) {
    const voxel = this.#pane.voxelAt(at);
    if (!this.#picked || !voxel || this.#shown < 0) return;
    this.#stage.classList.remove("picking");
    const picked = this.#picked;
    this.#picked = null;
    picked([this.#shown, ...voxel]);
  }

  #sayFailed() { this.#says.textContent = t("A slice cannot be fetched. Trying again …"); }
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
