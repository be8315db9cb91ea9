// The pictures of an alert, in one element: the key slice beside two reformats, and in their place,
// when asked for, all slices to scroll through. Taken from the page, it lets everything go.

import { button, element, first } from "./dom.js";
import { Extent, outlinedExtent } from "./extent.js";
import { Scroller } from "./scroller.js";
import { t } from "./words.js";

const AGAIN_AFTER_MS = 1000;

/** @param {string} path @param {Report} report */
export function viewerFor(path, report) {
  const viewer = /** @type {Viewer} */ (document.createElement("bleed-viewer"));
  viewer.of(path, report);
  return viewer;
}

class Viewer extends HTMLElement {
  #path = "";
  /** @type {Finding[]} */ #findings = [];
  /** @type {Scroller | null} */ #scroller = null;
  /** @type {HTMLElement | null} */ #asked = null; // says how the question for the slices stands
  #again = 0;

  /** @param {string} path @param {Report} report */
  of(path, report) {
    this.#path = path;
    this.#findings = report.findings;
    this.className = "viewer";
    this.ariaLive = "off"; // the alert around it is read out when it changes; scrolling is not
    this.addEventListener("keydown", (event) => this.#key(event));
  }

  connectedCallback() { this.#showViews(); }

  disconnectedCallback() {
    this.#release();
    this.replaceChildren();
  }

  get held() { return this.#scroller?.held ?? { blobs: 0, decoded: 0 }; }

  #release() {
    clearTimeout(this.#again);
    this.#scroller?.release();
    this.#asked = null;
  }

  // The three views.

  #showViews() {
    this.#release();
    this.classList.remove("open");
    const open = button(t("All slices"), "all", () => this.open());
    this.replaceChildren(...(this.#findings.length ? this.#views() : []), open);
    return open;
  }

  #views() {
    const key = view("axial", t("Key slice, the suspected bleed outlined"));
    const reformats = [
      view("coronal", t("Coronal plane through the suspected bleed")),
      view("sagittal", t("Sagittal plane through the suspected bleed")),
    ];
    /** @param {HTMLImageElement} one */
    const load = (one) => { one.src = `${this.#path}/views/${one.className}.png`; };
    key.addEventListener("click", () => this.open());
    key.addEventListener("error", () => key.replaceWith(element("p", t("No picture"), "no-picture")));
    for (const end of ["load", "error"]) key.addEventListener(end, () => reformats.forEach(load), { once: true });
    for (const one of reformats) one.addEventListener("error", () => one.remove());
    load(key); // alone, so that it is there first
    return [key, ...reformats];
  }

  // All slices.

  async open() {
    this.#release();
    this.classList.add("open");
    const says = element("p", t("Fetching the slices …"), "says");
    says.role = "status";
    this.replaceChildren(says, button(t("Close"), "close", () => this.#close()));
    first(this, "button").focus({ preventScroll: true });
    this.#asked = says;
    await this.#ask(says);
  }

  /** @param {HTMLElement} says */
  async #ask(says) {
    /** @type {KeptSlices | null} */
    const stack = await fetch(`${this.#path}/slices`).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    if (this.#asked !== says) return; // closed meanwhile
    if (stack?.kept === "whole") {
      this.#showStack(stack);
      return;
    }
    says.textContent = stack === null ? t("The slices cannot be fetched. Trying again …")
      : stack.kept === "coming" ? t("The slices are still being stored …")
        : t("The slices of this result are not kept. Look at them on the scanner.");
    if (stack?.kept !== "no") this.#again = setTimeout(() => this.#ask(says), AGAIN_AFTER_MS);
  }

  /** @param {SliceStack} stack */
  #showStack(stack) {
    const kinds = this.#findings.map(({ subtype }) => subtype);
    const scroller = new Scroller(this.#path, stack, kinds, {
      close: () => this.#close(), lost: () => this.open(),
      moved: () => this.dispatchEvent(new Event("moved")),
    });
    this.#scroller = scroller;
    this.replaceChildren(...scroller.elements);
    scroller.goTo(this.#findings[0]?.key_slice ?? Math.floor(stack.n / 2));
    scroller.focus();
  }

  /** Shows one of all slices. @param {number} k */
  async goTo(k) { (await this.#opened())?.goTo(k); }

  /** Of the slice that is shown, 0 before there is one. */
  get heightMm() { return this.#scroller?.heightMm ?? 0; }

  /** Of the vertex, null where it is not known. */
  get vertexMm() { return this.#scroller?.stack.vertex_mm ?? null; }

  /** Shows the slice nearest to a height, where its slices are open. @param {number} mm */
  follow(mm) { if (this.#scroller?.isShown) this.#scroller.follow(mm); }

  /** Gives the voxel that is clicked next. @param {(voxel: [number, number, number]) => void} picked */
  async pick(picked) { (await this.#opened())?.pick(picked); }

  /**
   * Lets an extent be drawn: from a finding's outline on, or from nothing where that is null. None where it cannot be.
   * @param {number | null} finding
   */
  async draw(finding) {
    const scroller = await this.#opened();
    if (!scroller?.stack.voxels_ml.length) return null;
    const extent = finding === null ? new Extent(scroller.stack) : await outlinedExtent(this.#path, scroller.stack, finding).catch(() => null);
    if (extent) scroller.draw(extent);
    return extent;
  }

  /** Shows what was drawn with a reading. @param {number} reading */
  async showDrawn(reading) {
    const scroller = await this.#opened();
    const answer = await fetch(`${this.#path}/readings/${reading}/extent`).catch(() => null);
    if (!scroller || !answer?.ok) return;
    const extent = new Extent(scroller.stack).take(await answer.json());
    scroller.overlay(extent);
    scroller.goTo(extent.voxel?.[0] ?? 0);
  }

  stopDrawing() { this.#scroller?.overlay(null); }

  async #opened() {
    if (!this.#scroller?.isShown) await this.open();
    return this.#scroller;
  }

  #close() { this.#showViews().focus({ preventScroll: true }); }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.classList.contains("open")) return;
    if (event.key === "Escape") this.#close();
    else if (this.#scroller?.isShown && !pressesButton(event) && this.#scroller.press(event.key, event.shiftKey)) event.preventDefault();
  }
}

/** @param {KeyboardEvent} event */
function pressesButton({ key, target }) { return key === " " && target instanceof HTMLButtonElement; }

customElements.define("bleed-viewer", Viewer);

/** @param {string} name @param {string} alt */
function view(name, alt) {
  const node = element("img", "", name);
  node.alt = alt;
  return node;
}
