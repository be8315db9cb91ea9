import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { deflateSync } from "node:zlib";
import { load, openPage } from "./page.js";

const PATH = "/r/slices/0/probabilities";
const both = deflateSync(new Uint8Array([255, 0, 0, 51, 255, 0, 255, 0])); // 2 x 2 by each network

class Canvas { // keeps what was put on it
  constructor() { Object.assign(this, { width: 2, height: 2 }); }

  getContext() {
    return {
      createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
      putImageData: ({ data }) => { this.pixels = new Uint32Array(data.buffer); },
    };
  }
}

async function opened(mapped) {
  const { requests } = await openPage({ [PATH]: () => new Response(both) });
  globalThis.OffscreenCanvas = Canvas;
  globalThis.window.HTMLCanvasElement.prototype.getContext = Canvas.prototype.getContext;
  const { Why, coloured } = await load("why.js");
  return { why: new Why("/r", { mapped }, () => {}), coloured, requests };
}

test("slices of one slab share a map that is fetched once, and not before somebody asks", async () => {
  const { why, coloured, requests } = await opened([0, 0, null]);
  assert.equal(why.over(0), null);
  const maps = () => requests.map(({ url }) => url).filter((url) => url.startsWith("/r/"));
  assert.deepEqual(maps(), []);

  assert.ok(why.press("h"));
  for (const k of [0, 1, 2]) assert.equal(why.over(k), null);
  while (!why.over(1)) await pause(5);

  assert.deepEqual(maps(), [PATH]);
  const opaque = () => [...why.over(0).pixels].map((one) => one >>> 24);
  assert.equal(why.over(0).pixels[0], coloured("probability", 1, 0.6));
  assert.deepEqual(opaque(), [153, 0, 0, 0]);
  why.press("d");
  assert.deepEqual(opaque(), [0, 0, 153, 102]);
  why.press("d");
  assert.equal(why.over(0), null);
  why.release();
});

test("where no probabilities are kept nothing is offered", async () => {
  const { why } = await opened([]);

  assert.deepEqual(why.buttons, []);
  assert.equal(why.press("h"), false);
});

test("a scale is the more opaque and the lighter the higher it is, and tells apart who sees blood", async () => {
  const { coloured } = await opened([]);
  const alpha = (one) => one >>> 24;
  const green = (one) => (one >>> 8) & 255;

  const rising = [0, 0.1, 0.3, 0.6, 1].map((one) => coloured("probability", one, 1));
  assert.deepEqual(rising.map(alpha), [0, 85, 255, 255, 255]);
  assert.deepEqual(rising.map(green), [...rising.map(green)].sort((a, b) => a - b));
  assert.notEqual(coloured("disagreement", 1, 1), coloured("disagreement", -1, 1));
});
