import assert from "node:assert/strict";
import { test } from "node:test";
import { load, ok, openPage } from "./page.js";

await openPage({ "/api/words": ok({ language: "en", words: {} }) });
const { headMap } = await load("head_map.js");

const finding = { subtype: "subdural", side: "left", region: "frontal", volume_ml: 27, place: [0.9, 0.25, 0.8] };
const marks = (map) => [...map.querySelectorAll("circle")].map((mark) => [mark.getAttribute("cx"), mark.getAttribute("cy")].map(Number));

test("a bleed stands in each view where the patient's axes put it", () => {
  const [below, front, left] = marks(headMap([finding]));

  assert.deepEqual(below, [20 + 60 * 0.9, 18 + 71 * 0.25]); // right to left, front to back
  assert.deepEqual(front, [20 + 60 * 0.9, 13 + 53 * (1 - 0.8)]); // the vertex is above
  assert.deepEqual(left, [21 + 65 * 0.25, 13 + 53 * (1 - 0.8)]); // the face looks to the left
});

test("the patient's left is on the right, as radiology shows it", () => {
  const letters = [...headMap([finding]).querySelector("svg").querySelectorAll("text")];

  assert.deepEqual(letters.map((letter) => letter.textContent), ["R", "L"]);
  assert.ok(Number(letters[0].getAttribute("x")) < Number(letters[1].getAttribute("x")));
});

test("a larger bleed has a larger mark, and none outgrows the head", () => {
  const radius = (volume_ml) => Number(headMap([{ ...finding, volume_ml }]).querySelector("circle").getAttribute("r"));

  assert.ok(radius(1) < radius(30));
  assert.equal(radius(1e6), 16);
});

test("the map is read out in words", () => {
  assert.equal(headMap([finding]).getAttribute("aria-label"), "Head map: left frontal");
});

test("a bleed whose place is not known is not drawn anywhere", () => {
  const map = headMap([{ ...finding, place: null }]);

  assert.equal(map.children.length, 0);
  assert.equal(map.getAttribute("role"), null);
});
