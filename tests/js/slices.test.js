import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";
import { deflateSync } from "node:zlib";
import { load } from "./page.js";

const { Slices } = await load("slices.js");

const PACKED = new Uint8Array([0xff, 0x50, 0x07, 0x08]); // -1024 and 40 HU: low bytes, then high ones
const STACK = { n: 1000, outlined: [500, 501] };
let waiting; // requests that nobody has answered: { url, answer(), refuse() }
let bitmaps; // all that were ever decoded

beforeEach(() => {
  waiting = [];
  bitmaps = [];
  globalThis.fetch = (url, { signal }) => new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    const end = (answer) => {
      signal.removeEventListener("abort", stop);
      resolve(answer);
    };
    signal.addEventListener("abort", stop);
    waiting.push({
      url,
      answer: () => end({ ok: true, status: 200, blob: async () => (url.endsWith(".png") ? url : new Blob([deflateSync(PACKED)])) }),
      refuse: (status) => end({ ok: false, status }),
    });
  });
  globalThis.createImageBitmap = async (url) => {
    const bitmap = { url, open: true, close() { bitmap.open = false; } };
    bitmaps.push(bitmap);
    return bitmap;
  };
});

async function answerAll(rounds) {
  for (let round = 0; round < rounds && waiting.length; round += 1) {
    waiting.splice(0).forEach((request) => request.answer());
    await turn();
    await turn();
  }
}

async function drawn(slices) { // inflating takes more turns than fetching
  for (let n = 0; n < 2000 && !slices.nearest(); n += 1) await pause(1);
  return slices.nearest();
}

function opened({ failed = () => {} } = {}) {
  const slices = new Slices("/r", STACK, () => {}, failed);
  slices.moveTo(500);
  return slices;
}

test("the slice that is looked at is fetched first, with its outline", () => {
  opened();

  assert.deepEqual(waiting.slice(0, 2).map(({ url }) => url), ["/r/slices/500.hu", "/r/slices/500/outline.png"]);
});

test("a slice without an outline is fetched alone", () => {
  const slices = new Slices("/r", STACK, () => {}, () => {});
  slices.moveTo(100);

  assert.ok(waiting.every(({ url }) => !url.includes("outline")));
  slices.release();
});

test("no more than four slices are fetched at a time", async () => {
  const slices = opened();
  const asked = () => new Set(waiting.map(({ url }) => /slices\/(\d+)/.exec(url)[1])).size;

  assert.equal(asked(), 4);
  await answerAll(1);
  assert.ok(asked() <= 4);
  slices.release();
});

test("what is drawn is the nearest that can be, until the wanted one is there", async () => {
  const slices = opened();
  await answerAll(1);
  slices.moveTo(600);

  const [k] = await drawn(slices);
  assert.ok(Math.abs(k - 500) < 10);
  for (let n = 0; n < 2000 && slices.nearest()[0] !== 600; n += 1) { await answerAll(1); await pause(1); }
  assert.equal(slices.nearest()[0], 600);
  slices.release();
});

test("decoded pictures are bounded, and closed when they leave", async () => {
  const slices = opened();
  for (let k = 500; k < 600; k += 1) {
    slices.moveTo(k);
    await answerAll(4);
  }

  assert.ok(slices.held.decoded <= 24);
  assert.ok(bitmaps.filter(({ open }) => open).length <= 24 + 2); // two have an outline beside them
  slices.release();
});

test("slices far away are let go", async () => {
  const slices = opened();
  for (let n = 0; n < 2000 && slices.held.blobs <= 500; n += 1) { await answerAll(300); await pause(1); }
  assert.ok(slices.held.blobs > 500);

  slices.moveTo(0);

  assert.ok(slices.held.blobs <= 401);
  slices.release();
});

test("after release nothing is held, and a late answer is not kept", async () => {
  const slices = opened();
  await answerAll(2);
  const late = [...waiting];

  slices.release();
  late.forEach((request) => request.answer());
  for (let n = 0; n < 2000 && bitmaps.some(({ open }) => open); n += 1) await pause(1); // what is being inflated ends first

  assert.deepEqual(slices.held, { blobs: 0, decoded: 0 });
  assert.ok(bitmaps.every(({ open }) => !open));
});

test("a slice comes as HU", async () => {
  const slices = opened();
  await answerAll(3);

  const [k, hu] = await drawn(slices);

  assert.equal(k, 500);
  assert.deepEqual([...hu], [-1024, 40]);
  slices.release();
});

test("a slice that cannot be fetched is said, and asked for again", async (test_) => {
  test_.mock.timers.enable({ apis: ["setTimeout"] });
  const failures = [];
  const slices = opened({ failed: (status) => failures.push(status) });
  waiting.splice(0).forEach((request) => request.refuse(503));
  await turn();
  await turn();
  assert.deepEqual(failures, [503]);

  test_.mock.timers.tick(1000);

  assert.ok(waiting.some(({ url }) => url.startsWith("/r/slices/500.hu")));
  slices.release();
});
