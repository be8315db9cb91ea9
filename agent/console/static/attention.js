// Whether somebody reads a page: one that nobody does asks no more, so that its session ends by itself.

const LEFT_AFTER_MS = 900_000; // untouched for so long
const TOUCHES = ["pointerdown", "pointermove", "keydown", "wheel"];

let touchedMs = Date.now();
for (const touch of TOUCHES) addEventListener(touch, () => { touchedMs = Date.now(); }, { passive: true });

export function isRead() { return !document.hidden && Date.now() - touchedMs < LEFT_AFTER_MS; }
