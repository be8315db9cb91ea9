import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { load, ok, openPage } from "./page.js";

let nowMs = 0;
let pulses = 0;
let hz = new Set();

class Loudspeaker extends EventTarget { // what sound.js uses of an AudioContext
  state = "running";
  currentTime = 0;
  destination = {};
  createGain() { return { gain: { setValueAtTime() {}, linearRampToValueAtTime() {} }, connect() {}, disconnect() {} }; }
  createPeriodicWave() { return {}; }
  createOscillator() { return { frequency: { set value(value) { hz.add(value); } }, setPeriodicWave() {}, connect() {}, start() { pulses += 1; }, stop() {}, disconnect() {} }; }
  async resume() { this.state = "running"; }
}

await openPage({ "/api/words": ok({ language: "en", words: {} }) });
globalThis.AudioContext = Loudspeaker;
Object.defineProperty(globalThis, "performance", { value: { now: () => nowMs } });
const { remind, soundButton } = await load("sound.js");

const EVERY_S = [10, 30];
let sounded = [];

function at(seconds, keys, kind = "suspected") {
  nowMs = seconds * 1000;
  sounded = [];
  pulses = 0;
  hz = new Set();
  const waiting = keys instanceof Map ? keys : new Map(keys.map((key) => [key, kind]));
  remind(waiting, EVERY_S, (key) => sounded.push(key));
}

beforeEach(() => at(0, []));

test("an alert sounds as it comes: three pulses", () => {
  at(1, ["a"]);

  assert.deepEqual([sounded, pulses], [["a"], 3]);
});

test("it sounds again after the first pause, and then after the last for ever", () => {
  const times = [];
  for (let s = 0; s <= 130; s += 1) {
    at(s, ["a"]);
    if (sounded.length) times.push(s);
  }

  assert.deepEqual(times, [0, 10, 40, 70, 100, 130]);
});

test("an alert that was acknowledged sounds no more; one that comes back is new", () => {
  at(0, ["a"]);
  at(1, []);
  at(2, ["a"]);

  assert.deepEqual(sounded, ["a"]);
});

test("two alerts due at once make one sound, and both move", () => {
  at(5, ["a", "b"]);

  assert.deepEqual([sounded, pulses], [["a", "b"], 3]);
});

test("a head that was not analysed and trouble sound otherwise, and a suspicion drowns both", () => {
  const heard = (waiting) => {
    at(0, []);
    at(1, waiting);
    return [pulses, ...hz];
  };
  const one = (kind) => new Map([[kind, kind]]);

  assert.deepEqual([heard(one("suspected")), heard(one("not_analysed")), heard(one("trouble"))], [[3, 523], [2, 392], [2, 196]]);
  assert.deepEqual(heard(new Map([["t", "trouble"], ["n", "not_analysed"], ["s", "suspected"]])), [3, 523]);
});

test("trouble is heard again as often as an alert, and then each quarter of an hour", () => {
  const times = [];
  for (let s = 0; s <= 1900; s += 1) {
    at(s, ["t"], "trouble");
    if (sounded.length) times.push(s);
  }

  assert.deepEqual(times, [0, 10, 40, 940, 1840]);
});

test("muted for two minutes, alerts still move", (test_) => {
  test_.mock.timers.enable({ apis: ["setInterval"] });
  const button = document.createElement("button");
  soundButton(button);
  assert.equal(button.textContent, "Mute for 2 min");

  button.click();
  assert.match(button.textContent, /Sound off for 2 min/);
  at(119, ["a"]);
  assert.deepEqual([sounded, pulses], [["a"], 0]);
  at(121, ["a", "b"]);
  assert.deepEqual([sounded, pulses], [["b"], 3]);
});
