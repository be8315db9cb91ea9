// What wheel, mouse and fingers do on a slice: scroll, window, move, zoom, measure, point at.

const WHEEL_PX = 50; // of a touchpad make a slice; a notch of a wheel is one, whatever it says
const LEAST_DRAG_PX = 3; // that a finger moves for a slice …
const MOST_DRAG_PX = 20; // … and most
const CLICK_PX = 4; // a press that moves no further is a click
const ZOOM_PER_PX = 1.0025; // of a wheel turned with Ctrl, as a touchpad's pinch comes

/** @typedef {import("./pane.js").Point} Point */
/** @typedef {"scroll" | "window" | "move" | "ruler" | "brush" | "eraser" | "lasso"} Tool */
/**
 * @typedef {object} Actions
 * @property {(slices: number) => void} scroll
 * @property {() => number} slices how many there are
 * @property {(dx: number, dy: number) => void} window
 * @property {(dx: number, dy: number) => void} move
 * @property {(factor: number, at: Point) => void} zoom
 * @property {(from: Point, to: Point) => void} measure
 * @property {(from: Point, to: Point, begins: boolean) => void} paint
 * @property {() => void} painted
 * @property {(at: Point | null) => void} hover
 * @property {(at: Point) => void} click
 */

/** @param {HTMLElement} over @param {Actions} act */
export function wheel(over, act) {
  let moved = 0;
  over.addEventListener("wheel", (event) => {
    event.preventDefault();
    const px = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * WHEEL_PX;
    if (event.ctrlKey) {
      act.zoom(ZOOM_PER_PX ** -px, pointOf(event));
      return;
    }
    moved -= Math.max(-1, Math.min(1, px / WHEEL_PX));
    const steps = Math.trunc(moved);
    moved -= steps;
    if (steps) act.scroll(steps);
  }, { passive: false });
}

/** @param {HTMLElement} stage @param {() => Tool} tool what the left button and one finger do @param {Actions} act */
export function drag(stage, tool, act) {
  /** @type {Map<number, Point>} */
  const down = new Map();
  /** @type {{ from: Point, tool: Tool, slices: number } | null} */
  let dragged = null;

  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("pointerleave", () => act.hover(null));
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, pointOf(event));
    const byButton = event.shiftKey || event.button === 1 ? "move" : event.button === 2 ? "window" : tool();
    dragged = down.size > 1 ? null : { from: pointOf(event), tool: byButton, slices: 0 };
    if (dragged && isPaint(byButton)) act.paint(dragged.from, dragged.from, true);
    if (event.button === 1) event.preventDefault(); // or the browser scrolls by itself
  });
  stage.addEventListener("pointermove", (event) => {
    act.hover(pointOf(event));
    const before = down.get(event.pointerId);
    if (!before) return;
    if (down.size > 1) pinch(event.pointerId, before, pointOf(event));
    else if (dragged) one(dragged, before, pointOf(event));
    down.set(event.pointerId, pointOf(event));
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
    stage.addEventListener(end, (event) => {
      const isClick = dragged && end === "pointerup" && event.button === 0 && apart(dragged.from, pointOf(event)) <= CLICK_PX;
      if (isClick) act.click(pointOf(event));
      if (dragged && isPaint(dragged.tool)) act.painted();
      down.delete(event.pointerId);
      dragged = null;
    });
  }

  /** @param {{ from: Point, tool: Tool, slices: number }} begun @param {Point} before @param {Point} now */
  function one(begun, before, now) {
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (begun.tool === "window") act.window(dx, dy);
    else if (begun.tool === "move") act.move(dx, dy);
    else if (begun.tool === "ruler") act.measure(begun.from, now);
    else if (isPaint(begun.tool)) act.paint(before, now, false);
    else {
      const px = Math.max(LEAST_DRAG_PX, Math.min(MOST_DRAG_PX, stage.clientHeight / act.slices()));
      const slices = -Math.round((now.y - begun.from.y) / px);
      if (slices !== begun.slices) act.scroll(slices - begun.slices);
      begun.slices = slices;
    }
  }

  /** @param {number} id @param {Point} before @param {Point} now */
  function pinch(id, before, now) {
    const other = [...down].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const middle = { x: (other.x + now.x) / 2, y: (other.y + now.y) / 2 };
    act.zoom(apart(other, now) / Math.max(1, apart(other, before)), middle);
    act.move((now.x - before.x) / 2, (now.y - before.y) / 2);
  }
}

/** @param {Tool} tool */
function isPaint(tool) { return tool === "brush" || tool === "eraser" || tool === "lasso"; }

/** @param {MouseEvent} event @returns {Point} */
function pointOf({ clientX, clientY }) { return { x: clientX, y: clientY }; }

/** @param {Point} one @param {Point} other */
function apart(one, other) { return Math.hypot(one.x - other.x, one.y - other.y); }
