// The pictures of an alert, in one element: the key slice beside two reformats, and in their place,
// when asked for, all slices to scroll through. Taken from the page, it lets everything go.

import { Slices } from "./slices.js";
import { element, number, t } from "./words.js";

const WINDOWS = { brain: t("Brain"), subdural: t("Subdural"), bone: t("Bone") };
const PAGE = 10; // slices that Page Up and Page Down move by
const WHEEL_PX = 50; // of a touchpad make a slice; a notch of a wheel is one, whatever it says
const DRAG_PX = [3, 20]; // fewest and most that a finger moves for a slice
const AGAIN_AFTER_MS = 1000;

export function viewerFor(path, report) {
  const viewer = document.createElement("bleed-viewer");
  viewer.of(path, report);
  return viewer;
}

class Viewer extends HTMLElement {
  #path; #report; #stack; #slices; #window; #outline;
  #wanted = 0;
  #shown = null;
  #frame = 0;
  #again = 0;
  #parts = {};

  of(path, report) {
    this.#path = path;
    this.#report = report;
    this.className = "viewer";
    this.ariaLive = "off"; // the alert around it is read out when it changes; scrolling is not
    this.addEventListener("keydown", (event) => this.#key(event));
  }

  connectedCallback() { this.#showViews(); }

  disconnectedCallback() {
    this.#release();
    this.replaceChildren();
  }

  get held() { return this.#slices?.held ?? { blobs: 0, bitmaps: 0 }; }

  #release() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#again);
    this.#frame = 0;
    this.#slices?.release();
    this.#stack = null;
    this.#shown = null;
    if (this.#parts.canvas) this.#parts.canvas.width = 0;
    this.#parts = {};
  }

  // The three views.

  #showViews() {
    this.#release();
    this.classList.remove("open");
    const open = button(t("All slices"), "all", () => this.#open());
    this.replaceChildren(...(this.#report.findings.length ? this.#views() : []), open);
    return open;
  }

  #views() {
    const key = this.#view("axial", t("Key slice, the suspected bleed outlined"));
    const others = {
      coronal: t("Coronal plane through the suspected bleed"),
      sagittal: t("Sagittal plane through the suspected bleed"),
    };
    const reformats = Object.entries(others).map(([view, alt]) => this.#view(view, alt));
    const load = (view) => { view.src = `${this.#path}/views/${view.className}.png`; };
    key.addEventListener("click", () => this.#open());
    key.addEventListener("error", () => key.replaceWith(element("p", t("No picture"), "no-picture")));
    for (const end of ["load", "error"]) key.addEventListener(end, () => reformats.forEach(load), { once: true });
    for (const view of reformats) view.addEventListener("error", () => view.remove());
    load(key); // alone, so that it is there first
    return [key, ...reformats];
  }

  #view(name, alt) {
    const view = element("img", "", name);
    view.alt = alt;
    return view;
  }

  // All slices.

  async #open() {
    this.#release();
    this.classList.add("open");
    this.replaceChildren(element("p", t("Fetching the slices …"), "says"), this.#closing());
    this.querySelector("button").focus({ preventScroll: true });
    this.#parts.says = this.querySelector(".says");
    this.#parts.says.role = "status";
    await this.#ask();
  }

  async #ask() {
    const asked = this.#parts.says;
    const stack = await fetch(`${this.#path}/slices`).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    if (asked !== this.#parts.says) return; // closed meanwhile
    if (stack?.kept === "whole") return this.#showStack(stack);
    asked.textContent = stack === null ? t("The slices cannot be fetched. Trying again …")
      : stack.kept === "coming" ? t("The slices are still being stored …")
        : t("The slices of this result are not kept. Look at them on the scanner.");
    if (stack?.kept !== "no") this.#again = setTimeout(() => this.#ask(), AGAIN_AFTER_MS);
  }

  #showStack(stack) {
    this.#stack = stack;
    this.#window = "brain";
    this.#outline = true;
    this.#slices = new Slices(this.#path, stack, () => this.#drawSoon(), (status) => this.#failed(status));
    this.#parts = { ...this.#stage(), ...this.#track(), ...this.#controls() };
    const { stage, track, controls, says } = this.#parts;
    this.replaceChildren(stage, track, controls, says);
    stage.focus({ preventScroll: true });
    this.#goTo(this.#report.findings[0]?.key_slice ?? Math.floor(stack.n / 2));
  }

  #stage() {
    const stage = element("div", "", "stage");
    const canvas = element("canvas", "");
    const where = element("p", "", "where");
    const { rows, columns, spacing_mm: [row_mm, column_mm], n } = this.#stack;
    Object.assign(canvas, { width: columns, height: rows });
    canvas.style.aspectRatio = (columns * column_mm) / (rows * row_mm);
    Object.assign(stage, { role: "slider", tabIndex: 0, ariaLabel: t("Slices"), ariaOrientation: "vertical", ariaValueMin: 1, ariaValueMax: n });
    stage.append(canvas, element("span", t("R"), "side right"), element("span", t("L"), "side left"), where);
    this.#wheel(stage);
    this.#drag(stage);
    return { stage, canvas, where };
  }

  #track() {
    const track = element("div", "", "track");
    const range = element("input", "");
    const last = Math.max(1, this.#stack.n - 1);
    Object.assign(range, { type: "range", min: 0, max: this.#stack.n - 1, tabIndex: -1, ariaHidden: "true" });
    range.addEventListener("input", () => this.#goTo(Number(range.value)));
    const marks = element("div", "", "marks");
    for (const [first, end] of runs(this.#stack.outlined)) {
      const mark = element("i", "");
      mark.style.left = `${(100 * (first - 0.5)) / last}%`;
      mark.style.width = `${(100 * (end - first + 1)) / last}%`;
      marks.append(mark);
    }
    track.append(marks, range);
    this.#wheel(track);
    return { track, range };
  }

  #controls() {
    const controls = element("div", "", "controls");
    const windows = Object.entries(WINDOWS).map(([name, words]) => {
      const choice = button(words, name, () => this.#choose(name));
      choice.ariaPressed = String(name === this.#window);
      return choice;
    });
    const outline = button(t("Outline"), "outline", () => this.#toggleOutline());
    outline.ariaPressed = "true";
    const says = element("p", "", "says");
    says.role = "status";
    controls.append(...windows, outline, this.#closing());
    return { controls, windows, outline, says };
  }

  #closing() { return button(t("Close"), "close", () => this.#close()); }

  #close() { this.#showViews().focus({ preventScroll: true }); }

  #choose(name) {
    this.#window = name;
    for (const choice of this.#parts.windows) choice.ariaPressed = String(choice.className === name);
    this.#shown = null;
    this.#slices.show(name);
    this.#parts.stage.classList.add("waiting");
  }

  #toggleOutline() {
    this.#outline = !this.#outline;
    this.#parts.outline.ariaPressed = String(this.#outline);
    this.#shown = null;
    this.#drawSoon();
  }

  #goTo(k) {
    this.#wanted = Math.max(0, Math.min(this.#stack.n - 1, k));
    this.#parts.range.value = this.#wanted;
    this.#slices.moveTo(this.#wanted);
    this.#drawSoon();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => { this.#frame = 0; this.#draw(); });
  }

  #draw() { // what the words name is what is shown, also while the wanted slice is still coming
    const found = this.#slices?.nearest();
    if (!found) return;
    const [k, picture, outline] = found;
    const { canvas, stage, where, says } = this.#parts;
    stage.classList.toggle("waiting", k !== this.#wanted);
    if (k === this.#shown) return;
    this.#shown = k;
    const context = canvas.getContext("2d", { alpha: false });
    context.drawImage(picture, 0, 0);
    if (this.#outline && outline) context.drawImage(outline, 0, 0);
    const name = t("slice {k} of {n}", { k: k + 1, n: this.#stack.n });
    where.textContent = `${name} · ${number(this.#stack.heights_mm[k], 1)} mm`;
    Object.assign(stage, { ariaValueNow: k + 1, ariaValueText: name });
    says.textContent = "";
  }

  #failed(status) {
    if (status === 404) return this.#open(); // forgotten meanwhile: it says so
    this.#parts.says.textContent = t("A slice cannot be fetched. Trying again …");
  }

  // Wheel, finger and keys.

  #wheel(over) {
    let moved = 0;
    over.addEventListener("wheel", (event) => {
      event.preventDefault();
      const px = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * WHEEL_PX;
      moved -= Math.max(-1, Math.min(1, px / WHEEL_PX));
      const steps = Math.trunc(moved);
      moved -= steps;
      if (steps) this.#goTo(this.#wanted + steps);
    }, { passive: false });
  }

  #drag(stage) {
    let from = null;
    stage.addEventListener("pointerdown", (event) => {
      from = { y: event.clientY, k: this.#wanted };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      const px = Math.max(DRAG_PX[0], Math.min(DRAG_PX[1], stage.clientHeight / this.#stack.n));
      this.#goTo(from.k - Math.round((event.clientY - from.y) / px));
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { from = null; });
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && this.classList.contains("open")) return this.#close();
    if (!this.#stack) return;
    const last = this.#stack.n - 1;
    const k = {
      ArrowUp: this.#wanted + 1, ArrowRight: this.#wanted + 1, PageUp: this.#wanted + PAGE, End: last,
      ArrowDown: this.#wanted - 1, ArrowLeft: this.#wanted - 1, PageDown: this.#wanted - PAGE, Home: 0,
    }[event.key];
    const preset = Object.keys(WINDOWS)[Number(event.key) - 1];
    if (k !== undefined) this.#goTo(k);
    else if (preset) this.#choose(preset);
    else if (event.key.toLowerCase() === "o") this.#toggleOutline();
    else return;
    event.preventDefault();
  }
}

customElements.define("bleed-viewer", Viewer);

function runs(numbers) { // first and last of those that follow one another
  const found = [];
  for (const k of numbers) {
    const latest = found.at(-1);
    if (latest?.[1] === k - 1) latest[1] = k;
    else found.push([k, k]);
  }
  return found;
}

function button(text, className, act) {
  const node = element("button", text, className);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}
