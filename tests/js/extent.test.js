import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { load } from "./page.js";

const { Extent, outlinedExtent } = await load("extent.js");

const STACK = { n: 4, rows: 10, columns: 20, spacing_mm: [1, 1], heights_mm: [0, 5, 10, 15], outlined: [1, 2], voxels_ml: [0.01, 0.01, 0.02, 0.01] };
const round = (ml) => Math.round(ml * 1000) / 1000;

test("a dab is a disc, in millimetres", () => {
  const extent = new Extent(STACK);
  extent.paint(1, [5, 5], [5, 5], 1, 1);

  assert.deepEqual(extent.drawn, { slices: [{ k: 1, runs: [85, 1, 104, 3, 125, 1] }] });
  assert.equal(round(extent.volumeMl), 0.05);
});

test("what is drawn beyond the edge stays within its row", () => {
  const extent = new Extent(STACK);
  extent.paint(0, [0, 19], [0, 19], 2, 1);

  assert.deepEqual(extent.drawn.slices[0].runs, [17, 3, 38, 2, 59, 1]);
});

test("a stroke leaves no gap, and the eraser rubs out", () => {
  const extent = new Extent(STACK);
  extent.paint(2, [5, 2], [5, 17], 0.5, 1);
  assert.deepEqual(extent.drawn.slices[0].runs, [102, 16]);
  assert.equal(round(extent.volumeMl), 0.32);

  extent.paint(2, [5, 8], [5, 9], 0.5, 0);
  assert.deepEqual(extent.drawn.slices[0].runs, [102, 6, 110, 8]);
});

test("strokes are undone one by one, whatever their slice", () => {
  const extent = new Extent(STACK);
  extent.begin(1);
  extent.paint(1, [5, 5], [5, 9], 1, 1);
  extent.begin(3);
  extent.paint(3, [5, 5], [5, 5], 1, 1);

  assert.equal(extent.undo(), 3);
  assert.deepEqual(extent.drawn.slices.map(({ k }) => k), [1]);
  assert.equal(extent.undo(), 1);
  assert.deepEqual(extent.drawn.slices, []);
  assert.equal(extent.volumeMl, 0);
  assert.equal(extent.undo(), null);
});

test("a lasso takes what it encloses, with its line, and is undone at once", () => {
  const extent = new Extent(STACK);
  extent.enclose(1, [[2, 2], [2, 10], [6, 10], [6, 2]]);
  assert.deepEqual(extent.drawn.slices[0].runs, [42, 9, 62, 9, 82, 9, 102, 9, 122, 1, 130, 1]);

  extent.undo();
  assert.deepEqual(extent.drawn.slices, []);
});

test("a lasso whose line crosses itself encloses both of its loops", () => {
  const extent = new Extent(STACK);
  extent.enclose(0, [[0, 0], [8, 8], [8, 0], [0, 8]]);

  const mask = extent.at(0);
  assert.equal(mask[2 * 20 + 4], 1);
  assert.equal(mask[7 * 20 + 4], 1);
  assert.equal(mask[4 * 20 + 1], 0);
  assert.equal(mask[4 * 20 + 7], 0);
});

test("slices between are filled by shapes that change evenly with height, also unevenly spaced, and all undone at once", () => {
  const stack = { ...STACK, n: 5, rows: 40, columns: 40, heights_mm: [0, 2, 4, 16, 20], voxels_ml: [1, 1, 1, 1, 1] };
  const extent = new Extent(stack);
  extent.paint(0, [20, 20], [20, 20], 4, 1);
  extent.paint(4, [20, 20], [20, 20], 14, 1);
  const radii = (k) => extent.at(k).slice(20 * 40, 21 * 40).reduce((n, one) => n + one, 0) / 2;

  assert.equal(extent.fillBetween(), true);
  for (const [k, mm] of [[1, 5], [2, 6], [3, 12]]) assert.ok(Math.abs(radii(k) - mm) <= 1, `${k}: ${radii(k)}`);

  assert.equal(extent.undo(), 1);
  assert.deepEqual(extent.drawn.slices.map(({ k }) => k), [0, 4]);
  assert.equal(new Extent(stack).fillBetween(), false);
  assert.equal(extent.undo(), null);
});

test("what was kept comes back as it was drawn, and names a voxel of it", () => {
  const drawn = { slices: [{ k: 1, runs: [45, 2, 199, 1] }, { k: 3, runs: [0, 200] }] };
  const extent = new Extent(STACK).take(drawn);

  assert.deepEqual(extent.drawn, drawn);
  assert.deepEqual(extent.voxel, [1, 2, 5]);
  assert.equal(new Extent(STACK).voxel, null);
});

test("a finding's extent begins as it was outlined, without the other findings", async () => {
  const numbers = new Uint8Array(200);
  numbers.fill(1, 20, 24);
  numbers.fill(2, 60, 63);
  globalThis.fetch = async (url) => (url === "/r/slices/1/findings" ? new Response(deflateSync(numbers)) : new Response("", { status: 404 }));

  const extent = await outlinedExtent("/r", STACK, 1);

  assert.deepEqual(extent.drawn, { slices: [{ k: 1, runs: [60, 3] }] });
});
